"""`kubectl finetune resume`: go on from the newest checkpoint."""

import argparse

from rich.console import Console

from finetune_operator.api.conditions import ConditionType
from finetune_operator.cli import access, jobs
from finetune_operator.cli.access import Access
from finetune_operator.cli.job_state import over
from finetune_operator.cli.refusals import refused, say
from finetune_operator.domain.conditions import is_true
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_trainer.exit_codes import ExitCode

EXAMPLE = "kubectl finetune resume chat"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    jobs.add_name(parser)
    access.add_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    async def work(given: Access) -> int:
        job = await jobs.find(given, arguments.name)
        title = jobs.title(job)
        if over(job.status):
            raise refused(
                f"{title} is {job.status.phase}, for good: to train again create another job"
            )
        suspended = is_true(job.status.conditions, ConditionType.SUSPENDED)
        if not job.spec.suspend and not suspended:
            say(console, "goes on", f"{title} is not suspended")
            return ExitCode.OK
        await given.client.patch(
            FINE_TUNE_JOB, job.metadata.namespace, job.metadata.name, {"spec": {"suspend": False}}
        )
        follow = f"follow it with: kubectl finetune logs -f {arguments.name}"
        say(console, "resumed", f"{title}; {follow}")
        return ExitCode.OK

    return access.in_cluster(arguments, work)
