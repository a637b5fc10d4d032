"""What the replica that leads does, and in which order it stops."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from finetune_operator.cluster.lease import Leadership
from finetune_operator.runtime.worker import Runner


async def lead(
    leadership: Leadership,
    watches: Coroutine[Any, Any, None],
    runners: Sequence[Runner],
    resync_seconds: float,
    beside: Sequence[Coroutine[Any, Any, None]] = (),
) -> None:
    """Works until it is cancelled or any part of the work ends.

    Args:
        beside: more parts that run for ever and may be cut off anywhere.

    Workers are cut off wherever they are: any call may be the last. The Lease is given back once
    none is left, and before the watches end, which takes longer and changes nothing.

    Raises:
        LeadershipLostError: another replica may lead by now.
    """
    watching = asyncio.create_task(watches)
    work: list[asyncio.Task[Any]] = [asyncio.create_task(leadership.keep())]
    work += [asyncio.create_task(each) for each in beside]
    for runner in runners:
        work.append(asyncio.create_task(runner.resync(resync_seconds)))
        work += [asyncio.create_task(runner.work()) for _ in range(runner.controller.workers)]
    try:
        done, _ = await asyncio.wait([watching, *work], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(work)
        await leadership.release()
        await _end([watching])


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
