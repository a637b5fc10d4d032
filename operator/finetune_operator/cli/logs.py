"""`kubectl finetune logs`: what a job's containers say, from its first pod to its end."""

import argparse

from rich.console import Console

from finetune_operator.cli import access, jobs
from finetune_operator.cli.access import Access
from finetune_operator.cli.following import Follower
from finetune_operator.cli.log_sources import Wanted, sources
from finetune_operator.cli.log_writer import LogWriter
from finetune_operator.cli.pods import ROLES, ordered, task
from finetune_operator.cli.refusals import refused
from finetune_operator.cluster.pod_logs import log_lines
from finetune_operator.domain import names
from finetune_operator.domain.kinds import POD
from finetune_operator.domain.names import Role
from finetune_trainer.exit_codes import ExitCode

EXAMPLE = "kubectl finetune logs -f chat --role train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    jobs.add_name(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="go on, from attempt to attempt, until the job ends; the exit code says how",
    )
    which.add_argument("--attempt", type=int, metavar="N", help="of that attempt only, from 1")
    parser.add_argument("--rank", type=int, metavar="N", help="of that training pod only, from 0")
    parser.add_argument(
        "--role",
        type=Role,
        choices=ROLES,
        metavar="{prepare,train,publish}",
        help="of that part of the job's life only",
    )
    parser.add_argument(
        "--tail", type=_lines, metavar="N", help="only the last lines of what was said already"
    )
    parser.add_argument("--no-prefix", action="store_true", help="lines without whose they are")
    access.add_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """The lines go to standard output; what is said about them to standard error."""
    wanted = Wanted(arguments.role, arguments.attempt, arguments.rank)
    writer = LogWriter(console, prefixes=not arguments.no_prefix)

    async def work(given: Access) -> int:
        job = await jobs.find(given, arguments.name)
        if arguments.follow:
            return await Follower(given.client, job, wanted, writer, arguments.tail).follow()
        labels = f"{names.JOB_UID}={job.metadata.uid}"
        pods = ordered(await given.client.list_objects(POD, job.metadata.namespace, labels=labels))
        found = list(sources(pods, wanted))
        if not found:
            there = ", ".join(task(pod) for pod in pods if pod.node) or "none"
            raise refused(f"no container of that kind has run; pods that are there: {there}")
        for source in found:
            lines = log_lines(
                given.client,
                job.metadata.namespace,
                source.pod,
                source.container,
                follow=False,
                tail=arguments.tail,
            )
            async for line in lines:
                writer.write(source, line.text)
        return ExitCode.OK

    try:
        return access.in_cluster(arguments, work)
    except BrokenPipeError:
        console.on_broken_pipe()
        return 1


def _lines(given: str) -> int:
    if not given.isdecimal():
        raise argparse.ArgumentTypeError(f"{given} is no number of lines")
    return int(given)
