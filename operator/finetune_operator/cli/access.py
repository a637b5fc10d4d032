"""How a command gets at the cluster, and what it says when it cannot: one line, and what to do."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from finetune_operator.cli.refusals import Refused, refused
from finetune_operator.cluster import errors
from finetune_operator.cluster.kubeconfig import Chosen, NoClusterError, choose, context_names
from finetune_operator.cluster.user_client import UserClient
from finetune_trainer.exit_codes import ExitCode

CALL_SECONDS = 10.0
"""A person waits for the answer: less patience than the operator has."""


@dataclass(frozen=True)
class Access:
    """An open session with the API server."""

    client: UserClient
    namespace: str
    """Of --namespace, or else of the context."""

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options by which kubectl, too, chooses a cluster and a namespace."""
    group = parser.add_argument_group("cluster")
    group.add_argument("-n", "--namespace", metavar="NAME", help="default: that of the context")
    context = group.add_argument("--context", metavar="NAME", help="default: the current one")
    context.completer = _contexts  # type: ignore[attr-defined]  # argcomplete looks for it
    group.add_argument(
        "--kubeconfig", metavar="FILE", help="default: KUBECONFIG, or ~/.kube/config"
    )


def in_cluster(
    arguments: argparse.Namespace,
    work: Callable[[Access], Coroutine[Any, Any, int]],
    call_seconds: float = CALL_SECONDS,
) -> int:
    """Does the work within a session; returns its exit code.

    Raises:
        Refused: in one line, what stood in the way.
    """
    try:
        chosen = choose(arguments.kubeconfig, arguments.context)
        namespace = arguments.namespace or chosen.namespace
        return asyncio.run(_work(chosen, namespace, work, call_seconds))
    except NoClusterError as error:
        message = f"no cluster to speak to ({error}): give --kubeconfig or --context"
        raise refused(message) from error
    except errors.ApiError as error:
        raise explained(error) from error


async def _work(
    chosen: Chosen,
    namespace: str,
    work: Callable[[Access], Coroutine[Any, Any, int]],
    call_seconds: float,
) -> int:
    async with UserClient(chosen.connection, call_seconds) as client:
        return await work(Access(client, namespace))


def explained(error: errors.ApiError) -> Refused:
    """What the API server's answer means for the user; its own words come first."""
    match error:
        case errors.ForbiddenError():
            advice = "ask for a role that allows it; view and edit of the namespace do"
            return refused(f"{error.message}: {advice}", ExitCode.CREDENTIALS_REFUSED)
        case errors.UnauthorizedError():
            advice = "log in again, or choose another --context"
            return refused(
                f"the API server does not know you ({error.message}): {advice}",
                ExitCode.CREDENTIALS_REFUSED,
            )
        case errors.NotFoundError():
            advice = "install the operator (docs/helm.md), or choose another --context"
            return refused(f"this cluster knows no FineTuneJob ({error.message}): {advice}")
        case errors.UnavailableError() | errors.ThrottledError():
            advice = "try again, or choose another --context"
            return refused(
                f"the API server does not answer ({error.message}): {advice}",
                ExitCode.UNAVAILABLE,
            )
        case _:
            return refused(error.message)


def _contexts(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    try:
        return context_names(parsed_args.kubeconfig)
    except NoClusterError:
        return []
