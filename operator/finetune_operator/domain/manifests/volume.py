"""The objects that outlive the attempts: recipe, volume and the Service of the training pods."""

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.domain import names
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import CONFIG_MAP, SERVICE, VOLUME_CLAIM
from finetune_operator.domain.manifests.common import metadata, typed
from finetune_operator.domain.names import Role


def recipe_config_map(job: FineTuneJob, recipe: str) -> JsonObject:
    """The snapshot of what is run; the API server lets nobody change it."""
    meta = metadata(job, names.config_map(job.metadata.name))
    return typed(CONFIG_MAP, meta, immutable=True, data={names.RECIPE_FILE: recipe})


def volume_claim(job: FineTuneJob) -> JsonObject:
    """The volume on which the steps hand over: inputs, checkpoints, output."""
    wanted = job.spec.checkpoint.volume_claim
    spec: JsonObject = {
        "accessModes": list(wanted.access_modes),
        "resources": {"requests": {"storage": wanted.size}},
    }
    if wanted.storage_class_name is not None:
        spec["storageClassName"] = wanted.storage_class_name
    return typed(VOLUME_CLAIM, metadata(job, names.volume_claim(job.metadata.name)), spec=spec)


def headless_service(job: FineTuneJob) -> JsonObject:
    """Gives the training pods names, before they are ready: they find each other to become so."""
    spec: JsonObject = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {names.JOB: job.metadata.name, names.ROLE: Role.TRAIN.value},
    }
    return typed(SERVICE, metadata(job, names.service(job.metadata.name)), spec=spec)
