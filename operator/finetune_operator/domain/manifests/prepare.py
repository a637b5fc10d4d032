"""The Job that fetches model and data and refuses what could not be trained."""

from finetune_operator.api.sources import DataSource, ModelSource
from finetune_operator.domain import names, pods
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.manifests.common import (
    CACHE_MOUNT,
    OFFLINE,
    RECIPE,
    WORKSPACE_MOUNT,
    Blueprint,
    batch_job,
    cache_mounts,
    cache_volumes,
    container,
    pod_spec,
)
from finetune_operator.domain.names import Role

CHECK = "check"
FETCH_MODEL = "fetch-model"
FETCH_ADAPTER = "fetch-adapter"


def prepare_job(blueprint: Blueprint, number: int) -> JsonObject:
    """An init container for each source, each with its own Secret only; then `check`."""
    spec = blueprint.job.spec
    sources: list[tuple[str, ModelSource | DataSource]] = [("model", spec.model)]
    if adapter := spec.model.adapter():
        sources.append(("adapter", adapter))
    sources += [(f"train-{index}", source) for index, source in enumerate(spec.dataset.train)]
    sources += [
        (f"validation-{index}", source)
        for index, source in enumerate(spec.dataset.validation or ())
    ]
    fetched = [_fetch(blueprint, name, source) for name, source in sources]
    check = container(
        blueprint,
        CHECK,
        [CHECK, "--recipe", RECIPE],
        environment=OFFLINE,
        mounts=cache_mounts(blueprint),
    )
    pod = pod_spec(
        blueprint,
        init_containers=[made for made, _ in fetched],
        containers=[check],
        volumes=[
            *cache_volumes(blueprint, read_only=False),
            *(volume for _, volumes in fetched for volume in volumes),
        ],
    )
    return batch_job(blueprint, Role.PREPARE, number, pod)


def _fetch(
    blueprint: Blueprint, name: str, source: ModelSource | DataSource
) -> tuple[JsonObject, list[JsonObject]]:
    resources = blueprint.job.spec.compute.pod_template.resources.to_dict()
    # Only the base model: data and adapters are small, and of one job each.
    cached = name == "model" and blueprint.model_cache != ""
    return pods.fetching(
        f"fetch-{name}",
        blueprint.image,
        source,
        destination=f"{names.WORKSPACE_PATH}/inputs/{name}",
        mounts=[dict(WORKSPACE_MOUNT), *([dict(CACHE_MOUNT)] if cached else [])],
        cache=names.MODEL_CACHE_PATH if cached else "",
        outside=blueprint.outside,
        resources=resources if any(resources.values()) else {},
    )
