"""`finetune plan job.yaml`: every refusal with its field, and what would be done: here, or in a
cluster where this machine has too few GPUs or a FineTuneClass is given.

With the name of a job of the cluster in place of a file: what the operator has planned.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from argcomplete.completers import FilesCompleter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Resolved
from finetune_operator.cli import access, cluster_plan, jobs
from finetune_operator.cli.access import Access
from finetune_operator.cli.columns import named
from finetune_operator.cli.description import NOT_LOOKED_AT, plan_lines
from finetune_operator.cli.job_file import NOT_CHECKED, read_job
from finetune_operator.cli.job_state import telling
from finetune_operator.cli.machine import Local, gpus, localize
from finetune_operator.cli.memory import Sized, size, this_machine
from finetune_operator.cli.refusals import Refused, refused, say, show_refusals
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.memory.sizing import gib
from finetune_trainer.recipe import Offload, Recipe, method_name

EXAMPLE = "finetune plan examples/chat/job.yaml --json plan.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    job = parser.add_argument(
        "job", metavar="FILE|NAME", help="a file with one FineTuneJob, or the name of one"
    )
    job.completer = _files_and_names  # type: ignore[attr-defined]  # argcomplete looks for it
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the same as JSON")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the model's config.json, if it is neither in the catalogue nor on this machine",
    )
    cluster_plan.add_arguments(parser)
    parser.add_argument(
        "--tflops",
        type=float,
        metavar="N",
        help="10¹² operations a second that one device reaches, to estimate the time of a step",
    )
    access.add_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Say what would be done; nothing is fetched, started or written but the JSON."""
    path = Path(arguments.job)
    if not path.exists() and not path.suffix:
        return _of_cluster(arguments, console)
    try:
        job = read_job(path)
        if cluster_plan.meant(job, arguments):
            in_cluster = cluster_plan.plan(job, arguments)
            _write(arguments.json, in_cluster.to_json())
            in_cluster.show(console)
            return ExitCode.OK
        local = localize(job, gpus())
        flops = arguments.tflops * 1e12 if arguments.tflops else None
        machine = this_machine(local.recipe.compute.device, flops)
        sized = size(local, machine, arguments.config)
        notes = (*local.notes, *sized.notes)
        local = replace(local, recipe=sized.recipe, notes=notes)
    except Refused as found:
        refusals = [{"field": each.field, "message": each.message} for each in found.refusals]
        _write(arguments.json, {"refusals": refusals})
        show_refusals(console, found.refusals)
        return ExitCode.CONFIGURATION_ERROR
    _write(
        arguments.json,
        {
            "refusals": [],
            "notes": list(local.notes),
            "recipe": local.recipe.model_dump(mode="json"),
            "recipeDigest": local.recipe.digest(),
            "memory": sized.to_json(),
        },
    )
    _show(local, sized, console)
    return ExitCode.OK


def _of_cluster(arguments: argparse.Namespace, console: Console) -> int:
    async def work(given: Access) -> int:
        job = await jobs.find(given, jobs.plain_name(arguments.job))
        status = job.status.to_dict()
        _write(arguments.json, {part: status.get(part) for part in ("plan", "resolved")})
        for line in planned(job):
            console.print(line, soft_wrap=True)
        return ExitCode.OK

    return access.in_cluster(arguments, work)


def planned(job: FineTuneJob) -> Iterator[Text]:
    """What the operator has decided; or why it has not, and what to do.

    Raises:
        Refused: it has decided nothing yet.
    """
    status = job.status
    if status.plan is None:
        told = telling(status)
        why = f"{told.reason}: {told.message} {told.remedy}".rstrip() if told else NOT_LOOKED_AT
        raise refused(f"{jobs.title(job)} has no plan yet: {why}")
    resolved = status.resolved or Resolved()
    return named(
        [
            *plan_lines(status.plan),
            ("Model revision", resolved.model_revision or ""),
            ("Adapter revision", resolved.adapter_revision or ""),
            ("Data", resolved.dataset_digest or ""),
            ("Recipe", resolved.recipe_digest or ""),
            ("Image", resolved.trainer_image or ""),
        ]
    )


def _files_and_names(prefix: str, **given: Any) -> list[str]:
    return [*FilesCompleter()(prefix), *jobs.complete_names(**given)]


def _show(local: Local, sized: Sized, console: Console) -> None:
    table = Table(show_header=False, box=None)
    for name, value in (*_lines(local.recipe), *_memory(sized)):
        table.add_row(Text(name, "bold"), Text(value))
    console.print(table, soft_wrap=True)
    for note in (*local.notes, NOT_CHECKED):
        say(console, "note", note)


def _lines(recipe: Recipe) -> list[tuple[str, str]]:
    training, compute = recipe.training, recipe.compute
    given = recipe.method.model_dump(mode="json", exclude_none=True, exclude={"type"})
    settings = [
        f"{name} {value}" for member in given.values() for name, value in member.items() if value
    ]
    method = ", ".join([method_name(recipe.method.type, recipe.quantization.type), *settings])
    length = f"{training.max_steps} steps" if training.max_steps else f"{training.epochs} epochs"
    return [
        ("model", recipe.model.storage_uri),
        ("task", recipe.task.value),
        ("method", method),
        ("training", f"{length}, learning rate {training.learning_rate:g}, {training.schedule}"),
        (
            "step",
            f"{training.tokens_per_batch} tokens: {training.sequences_per_batch} sequences of"
            f" {training.max_length}",
        ),
        ("exports", ", ".join(recipe.output.exports)),
        ("computed on", f"{compute.device}, {compute.world_size} process(es)"),
        ("recipe", recipe.digest()),
    ]


def _memory(sized: Sized) -> list[tuple[str, str]]:
    if sized.choice is None:
        return []
    layout, needed = sized.choice.layout, sized.choice.estimate
    again = ", activations computed again" if layout.activation_checkpointing else ""
    parts = ", ".join(f"{name} {gib(part)}" for name, part in needed.parts().items() if part)
    lines = [
        (
            "layout",
            f"{_strategy(sized)}, {layout.micro_batch} sequence(s) a pass,"
            f" {sized.choice.accumulation(sized.recipe)} pass(es) a step{again}",
        ),
        ("memory", f"at most {gib(needed.total)} on each device"),
        ("", parts),
    ]
    if sized.flops is not None:
        time = f", {sized.seconds:.1f} s" if sized.seconds is not None else ""
        lines.append(("work", f"{sized.flops / 1e12:.1f} · 10¹² operations a step{time}"))
    return lines


def _strategy(sized: Sized) -> str:
    strategy, offload = sized.recipe.strategy, sized.recipe.distribution.offload
    return strategy if offload is Offload.NONE else f"{strategy} with offload {offload}"


def _write(path: Path | None, content: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
