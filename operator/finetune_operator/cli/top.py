"""`kubectl finetune top`: how far every job is, and what runs on which node, as it changes."""

import argparse
import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.cli import access, jobs
from finetune_operator.cli.access import Access
from finetune_operator.cli.columns import Cell, columns
from finetune_operator.cli.job_state import age, phase, speed
from finetune_operator.cli.pods import ordered, state
from finetune_operator.cluster.mirror import Mirror, Selection
from finetune_operator.domain import names
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import FINE_TUNE_JOB, POD
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Pod
from finetune_trainer.exit_codes import ExitCode

EXAMPLE = "kubectl finetune top -A"

LOOK_SECONDS = 60.0
_PODS = f"{names.MANAGED_BY}={names.OPERATOR},{names.ROLE}!={Role.SERVE}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of every namespace")
    parser.add_argument("--once", action="store_true", help="print it once and end")
    parser.add_argument(
        "--refresh",
        type=_seconds,
        default=2.0,
        metavar="SECONDS",
        help="at most so often, and only when something has changed (default: %(default)s)",
    )
    access.add_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """One list and one watch of the jobs, and of their pods; no request more, however many."""

    async def work(given: Access) -> int:
        namespace = None if arguments.all_namespaces else given.namespace
        its_jobs, its_pods = Selection(FINE_TUNE_JOB, namespace), Selection(POD, namespace, _PODS)
        async with Mirror(given.client, its_jobs, its_pods) as mirror:

            def screen() -> list[Text]:
                active = filter(_is_active, mirror.objects[its_jobs].values())
                pods = ordered(mirror.objects[its_pods].values())
                listed = list(jobs.readable(active))
                return list(screenful(listed, pods, given.now(), namespaces=namespace is None))

            if arguments.once:
                console.print(Group(*screen()), soft_wrap=True)
            else:
                await _show(console, mirror, screen, arguments.refresh)
        return ExitCode.OK

    return access.in_cluster(arguments, work)


def screenful(
    listed: Iterable[FineTuneJob], pods: Iterable[Pod], now: datetime, *, namespaces: bool
) -> Iterator[Text]:
    """The jobs that are not over, and below them the pods that are not, by node."""
    rows = [
        [job.metadata.namespace, *_row(job, now)] if namespaces else _row(job, now)
        for job in sorted(listed, key=jobs.title)
    ]
    if not rows:
        yield Text("no job is under way")
        return
    header = ["NAME", "PHASE", "STEPS", "LOSS", "TOKENS/S", "REMAINING", "ATTEMPT", "SAID"]
    yield from columns(["NAMESPACE", *header] if namespaces else header, rows)
    placed = [(pod.node or "-", pod.name, state(pod)) for pod in pods if not pod.over]
    if placed:
        yield Text()
    yield from columns(["NODE", "POD", "STATE"], sorted(placed))


async def _show(
    console: Console, mirror: Mirror, screen: Callable[[], list[Text]], refresh: float
) -> None:
    """In place in a terminal; elsewhere again below. Until Ctrl-C, or the mirror ends."""
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    with live or contextlib.nullcontext():
        while True:
            if live:
                live.update(Group(*map(_cut, screen())), refresh=True)
            else:
                console.print(Group(*screen(), ""), soft_wrap=True)
            await asyncio.sleep(refresh)
            while not await mirror.change(LOOK_SECONDS):
                pass


def _cut(line: Text) -> Text:
    """What moves in place must not be broken into two lines."""
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _is_active(stored: JsonObject) -> bool:
    return stored.get("status", {}).get("phase") not in (Phase.SUCCEEDED, Phase.FAILED)


def _row(job: FineTuneJob, now: datetime) -> list[Cell]:
    status = job.status
    progress, attempts = status.progress, status.attempts
    row: list[Cell] = [job.metadata.name, phase(status)]
    if progress is None:
        row += [""] * 4
    else:
        row += [
            progress.steps,
            progress.loss or "",
            speed(status),
            progress.remaining or "",
        ]
    row.append(str(attempts.current) if attempts and attempts.current else "")
    row.append(age(progress.updated_at, now) if progress else "")
    return row


def _seconds(given: str) -> float:
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{given} is no number of seconds from 0.1 to 3600")
    return seconds
