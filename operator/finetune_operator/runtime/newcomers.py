"""Objects that have just come, as the watch told of them: they need not be read again.

Only those that nobody has looked at: of the others it is not known what else there is.
"""

from finetune_operator.domain.actions import JsonObject
from finetune_operator.runtime.controller import Key, key_of

REMEMBERED = 2000
"""Of some 10 KB each; what comes while so many wait is read when its turn comes."""


class Newcomers:
    """From the moment that an object comes until it is looked at."""

    def __init__(self) -> None:
        self._waiting: dict[Key, JsonObject] = {}

    def saw(self, event: str | None, item: JsonObject) -> None:
        """A watch event. What has changed since it came is no newcomer any more."""
        key = key_of(item)
        self._waiting.pop(key, None)
        unseen = item.get("status", {}).get("observedGeneration", -1) == -1  # as the CRD says
        if event == "ADDED" and unseen and len(self._waiting) < REMEMBERED:
            self._waiting[key] = item

    def take(self, key: Key) -> JsonObject | None:
        """The object, if it is one; the next time it is none."""
        return self._waiting.pop(key, None)
