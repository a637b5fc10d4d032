"""One reading of the same thing at a time, for all who ask."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SharedReading(Generic[Key, Value]):
    """Whoever asks while it is being read gets the next reading, together with all others who do.

    So everybody gets what was read after they asked, as though each had read for themselves, and a
    thousand who ask at once cost two readings.
    """

    def __init__(self, read: Callable[[Key], Awaitable[Value]]) -> None:
        self._read = read
        self._under_way: dict[Key, asyncio.Task[Value]] = {}
        self._next: dict[Key, asyncio.Task[Value]] = {}
        """Of those who asked while one was under way."""

    async def get(self, key: Key) -> Value:
        """What `read` gives, or raises, for the key."""
        if key not in self._under_way:
            task = self._under_way[key] = asyncio.create_task(self._begin(key))
        elif key in self._next:
            task = self._next[key]
        else:
            task = self._next[key] = asyncio.create_task(self._after(key, self._under_way[key]))
        # One who gives up does not take it from the others.
        return await asyncio.shield(task)

    async def _begin(self, key: Key) -> Value:
        try:
            return await self._read(key)
        finally:
            following = self._next.pop(key, None)
            if following is None:
                del self._under_way[key]
            else:
                self._under_way[key] = following

    async def _after(self, key: Key, before: asyncio.Task[Value]) -> Value:
        await asyncio.wait([before])
        return await self._begin(key)
