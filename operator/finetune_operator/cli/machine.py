"""What this machine can take over from a cluster, and the recipe that it would carry out."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.cli.refusals import Refusal, Refused
from finetune_operator.domain.recipe_builder import build_recipe
from finetune_trainer import rules
from finetune_trainer.recipe import Device, Recipe


@dataclass(frozen=True)
class Local:
    """A recipe for this machine, and where it departs from the manifest."""

    recipe: Recipe
    notes: tuple[str, ...]


def gpus() -> int:
    """NVIDIA GPUs that a process of ours may use."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return len([each for each in chosen.split(",") if each.strip() not in ("", "-1")])
    return len([each for each in Path("/dev").glob("nvidia*") if re.search(r"\d$", each.name)])


def localize(job: FineTuneJob, gpus_here: int) -> Local:
    """The recipe of this job on this machine.

    Raises:
        Refused: with everything that stands in the way.
    """
    device = _device(job, gpus_here)
    if found := list(_impossible(job, device, gpus_here)):
        raise Refused(found)
    compute = job.spec.compute.model_copy(update={"nodes": 1})
    alone = job.model_copy(update={"spec": job.spec.model_copy(update={"compute": compute})})
    try:
        recipe = build_recipe(alone, device)
    except ValidationError as error:
        raise invalid(error) from error
    if problems := rules.problems(recipe):
        raise Refused(placed(problem) for problem in problems)
    return Local(recipe, tuple(_notes(job)))


def _device(job: FineTuneJob, gpus_here: int) -> Device:
    check_device(job)
    choice = job.spec.compute.device.value
    if choice == "Auto":
        return Device.GPU if gpus_here else Device.CPU
    return Device(choice)


def check_device(job: FineTuneJob) -> None:
    """
    Raises:
        Refused: nothing trains on it.
    """
    choice = job.spec.compute.device.value
    if choice not in {"Auto", *(each.value for each in Device)}:
        message = f"training on {choice} is not possible: nothing there computes gradients"
        raise Refused([Refusal("spec.compute.device", f"{message}; use GPU or CPU")])


def invalid(error: ValidationError) -> Refused:
    """What the recipe says of itself."""
    items = error.errors(include_url=False)
    return Refused(Refusal("spec", item["msg"]) for item in items)


def _impossible(job: FineTuneJob, device: Device, gpus_here: int) -> Iterator[Refusal]:
    wanted = job.spec.compute.gpus_per_node
    if device is Device.GPU and wanted > gpus_here:
        yield Refusal(
            "spec.compute.gpusPerNode",
            f"{wanted} GPU(s) are asked for and this machine has {gpus_here}: lower it, or set"
            " compute.device: CPU",
        )
    dataset = job.spec.dataset
    if dataset.validation and dataset.validation_fraction:
        yield Refusal(
            "spec.dataset.validationFraction",
            "validation and validationFraction exclude each other: give one of them",
        )


def placed(problem: str) -> Refusal:
    """A problem of the recipe begins with its field, or with `task` and a combination."""
    field, _, rest = problem.partition(" ")
    if "." in field:
        return Refusal(f"spec.{field.rstrip(':')}", rest)
    return Refusal("spec", problem)


def _notes(job: FineTuneJob) -> Iterator[str]:
    spec = job.spec
    if spec.compute.nodes > 1:
        yield (
            f"compute.nodes is {spec.compute.nodes}: this machine does all of it alone, with the"
            " same batches"
        )
    resources = spec.compute.pod_template.resources
    if resources.requests or resources.limits:
        yield "compute.podTemplate.resources limits pods only: this machine's memory is the limit"
    yield f"output.storageUri {spec.output.storage_uri}: nothing is pushed from here"
