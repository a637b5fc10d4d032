"""kopf without a memory: the handlers here ask for raw events, so nothing is compared or kept.

By default kopf copies every object several times, to tell what has changed in it since it wrote an
annotation that this operator never lets it write; and it keeps some 3 KB of each object for ever.
"""

from typing import Any, cast

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory


class NoDifferences(kopf.DiffBaseStorage):
    """Every object is as it was."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Of an object: nothing."""
        return cast(kopf.BodyEssence, {})

    def fetch(self, **_: Any) -> None:
        """Nothing was stored."""

    def store(self, **_: Any) -> None:
        """Nothing is."""


class NoProgress(kopf.ProgressStorage):
    """No handler is ever half done."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """As it is: it holds nothing."""
        return essence

    def fetch(self, **_: Any) -> None:
        """Nothing was stored."""

    def store(self, **_: Any) -> None:
        """Nothing is."""

    def purge(self, **_: Any) -> None:
        """There is nothing."""

    def touch(self, **_: Any) -> None:
        """Objects are not written."""


class NoMemories(ResourceMemories):
    """Each object is met as if for the first time. kopf has no public name for what this is."""

    async def recall(self, raw_body: kopf.RawBody, **given: Any) -> ResourceMemory:
        """One that nobody keeps."""
        return await super().recall(raw_body, **{**given, "ephemeral": True})
