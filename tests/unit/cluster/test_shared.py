"""Everybody gets what was read after they asked, and few readings serve many."""

from __future__ import annotations

import asyncio

import pytest

from finetune_operator.cluster.shared import SharedReading


class Source:
    """Says how many readings were begun; each ends when it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()
        self.fails = False

    async def read(self, key: str) -> str:
        self.begun += 1
        number = self.begun
        await self.gate.wait()
        if self.fails:
            raise ConnectionError(key)
        return f"{key} {number}"


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_while_it_is_read_gets_the_next_reading() -> None:
    source = Source()
    shared = SharedReading(source.read)
    first = asyncio.create_task(shared.get("a"))
    await settled()
    others = [asyncio.create_task(shared.get("a")) for _ in range(1000)]
    await settled()
    assert source.begun == 1
    source.gate.set()
    assert await first == "a 1"
    assert set(await asyncio.gather(*others)) == {"a 2"}
    assert await shared.get("a") == "a 3", "nothing is kept"


async def test_other_things_are_read_meanwhile() -> None:
    source = Source()
    shared = SharedReading(source.read)
    tasks = [asyncio.create_task(shared.get(key)) for key in "ab"]
    await settled()
    assert source.begun == 2
    source.gate.set()
    assert await asyncio.gather(*tasks) == ["a 1", "b 2"]


async def test_a_failure_is_everybodys_and_the_next_reads_anew() -> None:
    source = Source()
    shared = SharedReading(source.read)
    source.fails = True
    tasks = [asyncio.create_task(shared.get("a")) for _ in range(2)]
    await settled()
    tasks += [asyncio.create_task(shared.get("a")) for _ in range(2)]
    source.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [ConnectionError] * 4
    source.fails = False
    assert await shared.get("a") == f"a {source.begun}"


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    source = Source()
    shared = SharedReading(source.read)
    tasks = [asyncio.create_task(shared.get("a")) for _ in range(3)]
    await settled()
    tasks[0].cancel()
    tasks[1].cancel()
    source.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert await tasks[2] == "a 2"
    assert await shared.get("a") == "a 3"
