"""`kubectl finetune stop`: save a checkpoint, give the nodes back, and say what was saved."""

import argparse
import asyncio

from pydantic import ValidationError
from rich.console import Console

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus
from finetune_operator.cli import access, jobs
from finetune_operator.cli.access import Access
from finetune_operator.cli.job_state import end, over, telling
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
        await given.client.patch(
            FINE_TUNE_JOB, job.metadata.namespace, job.metadata.name, {"spec": {"suspend": True}}
        )
        if not arguments.wait:
            say(
                console,
                "stopping",
                f"{title}; kubectl finetune describe {arguments.name} tells more",
            )
            return ExitCode.OK
        saved = await _until_suspended(given, job, arguments.timeout)
        again = f"go on with: kubectl finetune resume {arguments.name}"
        say(console, "suspended", f"{title}: {saved}; {again}")
        return ExitCode.OK

    return access.in_cluster(arguments, work)


async def _until_suspended(given: Access, job: FineTuneJob, seconds: int) -> str:
    """What was saved.

    Raises:
        Refused: it is not suspended in time, or has ended by itself.
    """
    its_job = Selection(
        FINE_TUNE_JOB, job.metadata.namespace, fields=f"metadata.name={job.metadata.name}"
    )
    its_pods = Selection(
        POD,
        job.metadata.namespace,
        labels=f"{names.JOB_UID}={job.metadata.uid},{names.ROLE}={Role.TRAIN}",
    )
    title, step = jobs.title(job), None
    status = job.status
    try:
        async with (
            asyncio.timeout(seconds),
            Mirror(given.client, its_job, its_pods) as mirror,
        ):
            while True:
                step = saved_step(ordered(mirror.objects[its_pods].values())) or step
                stored = mirror.objects[its_job].get(job.metadata.uid)
                if stored is None:
                    raise refused(f"{title} was deleted meanwhile")
                status = jobs.read(stored).status
                if is_true(status.conditions, ConditionType.SUSPENDED):
                    return what_is_kept(status, step)
                if ended := end(status):
                    raise refused(f"{title} has ended before it could be stopped: {ended.message}")
                await mirror.change(seconds)
    except TimeoutError:
        told = telling(status)
        why = f" ({told.message})" if told else ""
        raise refused(
            f"{title} is not suspended after {seconds} s{why}: it still will be;"
            f" kubectl finetune describe {job.metadata.name} tells more",
            ExitCode.UNAVAILABLE,
        ) from None


def saved_step(pods: list[Pod]) -> int | None:
    """Of the checkpoint that a trainer says it saved when it was told to go; None: none says."""
    steps = []
    for pod in pods:
        for container in pod.containers:
            if container.exit_code == ExitCode.PREEMPTED:
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
