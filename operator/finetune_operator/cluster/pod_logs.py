"""The log of a container, line by line, with the moment of each line to go on from."""

import contextlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from finetune_operator.cluster.client import path_of
from finetune_operator.cluster.session import ATTEMPT_SECONDS
from finetune_operator.cluster.user_client import UserClient
from finetune_operator.domain.kinds import POD

SILENCE_SECONDS = 300.0
"""A log that is followed may be silent for long; it is then asked for again."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\S+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log."""

    moment: str
    """RFC 3339 with nine digits of a second, as the kubelet writes it: its order is that of time.
    Empty for what the kubelet says instead of a log."""
    text: str


async def log_lines(
    client: UserClient,
    namespace: str,
    pod: str,
    container: str,
    *,
    follow: bool,
    tail: int | None = None,
    after: str = "",
) -> AsyncGenerator[Line, None]:
    """
    Args:
        follow: go on until the container ends.
        tail: only so many of the last lines; None: all.
        after: the moment of the last line that is known already; `tail` has no meaning then.

    Raises:
        NotFoundError: the pod is gone.
        RefusedError: the container has not started.
        ApiError: the log cannot be had, or broke off.
    """
    query = {"container": container, "timestamps": "true"}
    if follow:
        query["follow"] = "true"
    if after:
        query["sinceTime"] = after  # of which the kubelet takes the whole seconds
    elif tail is not None:
        query["tailLines"] = str(tail)
    path = path_of(POD, namespace, pod, "log")
    lines = client.lines(path, query, silence=SILENCE_SECONDS if follow else ATTEMPT_SECONDS)
    async with contextlib.aclosing(lines):
        async for raw in lines:
            line = raw.decode(errors="replace")
            moment, _, text = line.partition(" ")
            if not _MOMENT.fullmatch(moment):
                yield Line("", line)
            elif moment > after:
                yield Line(moment, text)
