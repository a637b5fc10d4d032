"""`kubectl finetune describe`: one page about a job, for whoever has to find out why."""

import argparse
import asyncio
from collections.abc import Awaitable

from rich.console import Console

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.cli import access, jobs
from finetune_operator.cli.access import Access
from finetune_operator.cli.attempts import attempts
from finetune_operator.cli.description import Known, describe
from finetune_operator.cli.happenings import happenings
from finetune_operator.cli.pods import ordered
from finetune_operator.cluster.errors import ForbiddenError
from finetune_operator.domain import names
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import BATCH_JOB, EVENT, POD
from finetune_operator.domain.views import view_batch_job
from finetune_trainer.exit_codes import ExitCode

EXAMPLE = "kubectl finetune describe chat"

_ASKED_ABOUT = 8
"""Events are asked for by object: the job, and so many Jobs and pods that are not over."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    jobs.add_name(parser)
    access.add_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    async def work(given: Access) -> int:
        known = await look(given, await jobs.find(given, arguments.name))
        for line in describe(known, given.now()):
            console.print(line, soft_wrap=True)
        return ExitCode.OK

    return access.in_cluster(arguments, work)


async def look(given: Access, job: FineTuneJob) -> Known:
    """The job's Jobs, pods and events; what the user may not read is named instead.

    Raises:
        ApiError
    """
    hidden: list[str] = []
    own = f"{names.JOB_UID}={job.metadata.uid}"
    namespace = job.metadata.namespace
    batch_jobs, pods = await asyncio.gather(
        _allowed(given.client.list_objects(BATCH_JOB, namespace, labels=own), hidden),
        _allowed(given.client.list_objects(POD, namespace, labels=own), hidden),
    )
    events = await _events(given, job, [*batch_jobs, *pods], hidden)
    views = [view for each in batch_jobs if (view := view_batch_job(each))]
    own_pods, told = ordered(pods), happenings(events)
    return Known(
        job,
        own_pods,
        list(attempts(job.status, views, own_pods, told)),
        told,
        list(dict.fromkeys(hidden)),
    )


async def _events(
    given: Access, job: FineTuneJob, children: list[JsonObject], hidden: list[str]
) -> list[JsonObject]:
    waiting = [each["metadata"]["uid"] for each in children if _goes_on(each)]
    found = await asyncio.gather(
        *(
            _allowed(
                given.client.list_objects(
                    EVENT, job.metadata.namespace, fields=f"involvedObject.uid={uid}"
                ),
                hidden,
            )
            for uid in (job.metadata.uid, *waiting[:_ASKED_ABOUT])
        )
    )
    return [event for events in found for event in events]


def _goes_on(child: JsonObject) -> bool:
    status = child.get("status", {})
    ended = any(
        each["type"] in ("Complete", "Failed") and each["status"] == "True"
        for each in status.get("conditions") or ()
    )
    return not ended and status.get("phase") not in ("Succeeded", "Failed")


async def _allowed(reading: Awaitable[list[JsonObject]], hidden: list[str]) -> list[JsonObject]:
    try:
        return await reading
    except ForbiddenError as error:
        hidden.append(error.message)
        return []
