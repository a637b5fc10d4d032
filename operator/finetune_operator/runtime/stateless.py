"""kopf without a memory: the handlers here ask for raw events, so nothing is compared or kept.

By default kopf copies every object several times, to tell what has changed in it since it wrote an
annotation that this operator never lets it write.
"""

from typing import Any, cast

import kopf


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
