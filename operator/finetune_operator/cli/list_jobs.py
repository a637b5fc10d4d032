"""`kubectl finetune list`: the FineTuneJobs of a namespace, or of all."""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import yaml
from rich.console import Console
from rich.text import Text

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.cli import access, jobs
from finetune_operator.cli.access import Access
from finetune_operator.cli.columns import Cell, columns
from finetune_operator.cli.job_state import job_age, phase, queue_place, speed, telling
from finetune_operator.cli.refusals import aside
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_trainer.exit_codes import ExitCode

EXAMPLE = "kubectl finetune list -A -o wide"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of every namespace")
    parser.add_argument("-l", "--selector", default="", metavar="LABELS", help="as in kubectl get")
    parser.add_argument(
        "-o", "--output", choices=["wide", "name", "json", "yaml"], help="default: a table"
    )
    access.add_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    async def work(given: Access) -> int:
        namespace = None if arguments.all_namespaces else given.namespace
        found = await given.client.list_objects(FINE_TUNE_JOB, namespace, labels=arguments.selector)
        if arguments.output in ("json", "yaml", "name"):
            console.file.write(_as_objects(found, arguments.output))
            return ExitCode.OK
        if not found:
            where = "in any namespace" if namespace is None else f"in namespace {namespace}"
            aside().print(f"there is no FineTuneJob {where}", markup=False)
            return ExitCode.OK
        wide = arguments.output == "wide"
        lines = table(jobs.readable(found), given.now(), namespaces=namespace is None, wide=wide)
        for line in lines:
            console.print(line, soft_wrap=True)
        return ExitCode.OK

    return access.in_cluster(arguments, work)


def table(
    listed: Iterable[FineTuneJob], now: datetime, *, namespaces: bool, wide: bool
) -> Iterator[Text]:
    """By namespace and name."""
    ordered = sorted(listed, key=lambda job: (job.metadata.namespace, job.metadata.name))
    header = ["NAME", "PHASE", "PROGRESS", "REMAINING", "METHOD", "AGE", "QUEUE"]
    header = ["NAMESPACE", *header] if namespaces else header
    header += ["LOSS", "TOKENS/S", "NODES", "ATTEMPT", "REASON"] if wide else []
    return columns(header, [_row(job, now, namespaces, wide) for job in ordered])


def _row(job: FineTuneJob, now: datetime, namespaces: bool, wide: bool) -> Sequence[Cell]:
    status = job.status
    progress, plan = status.progress, status.plan
    row: list[Cell] = [job.metadata.namespace] if namespaces else []
    row += [
        job.metadata.name,
        phase(status),
        f"{progress.steps} {progress.percentage}%" if progress else "",
        (progress.remaining or "") if progress else "",
        (plan.method or "") if plan else "",
        job_age(job, now),
        queue_place(status),
    ]
    if wide:
        told, attempts = telling(status), status.attempts
        row += [
            (progress.loss or "") if progress else "",
            speed(status),
            str(job.spec.compute.nodes),
            str(attempts.current) if attempts else "",
            told.reason if told else "",
        ]
    return row


def _as_objects(found: list[JsonObject], output: str) -> str:
    if output == "name":
        names = (each["metadata"]["name"] for each in found)
        return "".join(f"finetunejob.finetune.dev/{name}\n" for name in names)
    for each in found:
        each["metadata"].pop("managedFields", None)  # as kubectl leaves out what nobody reads
    whole = {"apiVersion": "v1", "kind": "List", "items": found}
    if output == "json":
        return json.dumps(whole, indent=4) + "\n"
    return yaml.safe_dump(whole, sort_keys=False)
