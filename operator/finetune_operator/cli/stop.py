"""`kubectl finetune stop`: save a checkpoint, give the nodes back, and say what was saved."""

import argparse
import asyncio
from collections.abc import Sequence

from pydantic import ValidationError
from rich.console import Console

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus
from finetune_operator.cli import access, jobs
from finetune_operator.cli.access import Access
from finetune_operator.cli.job_state import over, telling
from finetune_operator.cli.pods import ordered
from finetune_operator.cli.refusals import refused, say
from finetune_operator.cluster.mirror import Mirror, Selection
from finetune_operator.domain import names
from finetune_operator.domain.conditions import is_true
from finetune_operator.domain.kinds import FINE_TUNE_JOB, POD
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Pod
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.manifest import Failure

EXAMPLE = "kubectl finetune stop chat --wait"

WAIT_SECONDS = 300
"""Longer than the grace of 120 s that a pod has for its checkpoint."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    jobs.add_name(parser)
    parser.add_argument(
        "--wait", action="store_true", help="until no pod of it runs, and say what was saved"
    )
    parser.add_argument(
        "--timeout",
        type=int,
        default=WAIT_SECONDS,
        metavar="SECONDS",
        help="to wait at most (default: %(default)s)",
    )
    access.add_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    async def work(given: Access) -> int:
        job = await jobs.find(given, arguments.name)
        title = jobs.title(job)
        if over(job.status):
            raise refused(f"{title} is {job.status.phase}: there is nothing to stop")
        if arguments.wait:
            saved = await _stopped(given, job, arguments.timeout)
            again = f"go on with: kubectl finetune resume {arguments.name}"
            say(console, "suspended", f"{title}: {saved}; {again}")
        else:
            await _suspend(given, job)
            more = f"kubectl finetune describe {arguments.name} tells more"
            say(console, "stopping", f"{title}; {more}")
        return ExitCode.OK

    return access.in_cluster(arguments, work)


async def _suspend(given: Access, job: FineTuneJob) -> None:
    await given.client.patch(
        FINE_TUNE_JOB, job.metadata.namespace, job.metadata.name, {"spec": {"suspend": True}}
    )


async def _stopped(given: Access, job: FineTuneJob, seconds: int) -> str:
    """What was saved, once the job is suspended.

    Raises:
        Refused: it is not suspended in time, or has ended by itself.
    """
    namespace, name = job.metadata.namespace, job.metadata.name
    its_job = Selection(FINE_TUNE_JOB, namespace, fields=f"metadata.name={name}")
    its_pods = Selection(POD, namespace, labels=f"{names.JOB_UID}={job.metadata.uid}")
    status = job.status
    try:
        # Watched before they are told to go: a pod says what it saved, and is gone.
        async with asyncio.timeout(seconds), Mirror(given.client, its_job, its_pods) as mirror:
            await _suspend(given, job)
            step = None
            while True:
                step = saved_step(ordered(mirror.objects[its_pods].values())) or step
                stored = mirror.objects[its_job].get(job.metadata.uid)
                if stored is None:
                    raise refused(f"{jobs.title(job)} was deleted meanwhile")
                status = jobs.read(stored).status
                if is_true(status.conditions, ConditionType.SUSPENDED):
                    return what_is_kept(status, step)
                if over(status):
                    raise refused(f"{jobs.title(job)} is {status.phase}: it ended by itself")
                await mirror.change(seconds)
    except TimeoutError:
        told = telling(status)
        raise refused(
            f"{jobs.title(job)} is not suspended after {seconds} s"
            f"{f' ({told.message})' if told else ''}: it still will be; kubectl finetune describe"
            f" {name} tells more",
            ExitCode.UNAVAILABLE,
        ) from None


def saved_step(pods: Sequence[Pod]) -> int | None:
    """Of the checkpoint that the newest attempt says it saved when it was told to go; None: it
    has said none."""
    trainers = [pod for pod in pods if pod.role is Role.TRAIN]
    newest = max((pod.number for pod in trainers), default=0)
    steps = []
    for pod in trainers:
        for container in pod.containers:
            if pod.number == newest and container.exit_code == ExitCode.PREEMPTED:
                try:
                    steps.append(Failure.model_validate_json(container.message).step)
                except ValidationError:
                    continue
    return max((step for step in steps if step), default=None)


def what_is_kept(status: FineTuneJobStatus, step: int | None) -> str:
    """For whoever has stopped a job."""
    if is_true(status.conditions, ConditionType.TRAINED):
        return "training is complete and kept; what is left is to publish it"
    if step is not None:
        return f"a checkpoint of step {step} is saved"
    progress = status.progress
    if progress and progress.step:
        return f"training had come to step {progress.step}; it goes on from its newest checkpoint"
    return "no step was trained yet, and nothing is lost"
