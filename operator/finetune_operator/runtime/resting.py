"""Jobs at rest: nothing of them is read, not when they are listed and not when a child wakes them.

There may be ten thousand, and each look takes half a dozen requests.
"""

from pydantic import ValidationError

from finetune_operator.api.fine_tune_job import MANAGED_HERE, FineTuneJob
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.lifecycle.rest import at_rest
from finetune_operator.runtime.controller import Key, key_of
from finetune_operator.runtime.job_board import JobBoard


class Resting:
    """Knows them by what the watch has told, and by what was written."""

    def __init__(self, board: JobBoard) -> None:
        self._board = board
        self._versions: dict[Key, str] = {}
        """resourceVersion of each."""
        self._changed: set[Key] = set()
        """Jobs of which the watch has told since they were looked at last."""

    def __contains__(self, key: Key) -> bool:
        return key in self._versions

    def saw(self, event: str | None, item: JsonObject) -> bool:
        """A watch event; whether the job rests. One that was listed so is counted here, since
        nobody looks at it."""
        key = key_of(item)
        if event is None and self._is_at_rest(key, item):
            return True
        self._versions.pop(key, None)
        self._changed.add(key)
        return False

    def looked_at(self, key: Key) -> None:
        """What the watch has told until now is about to be seen."""
        self._changed.discard(key)

    def add(self, key: Key, live: JsonObject) -> None:
        """Nothing was left to do for this version of the job, unless it has changed since."""
        if key not in self._changed:
            self._versions[key] = live["metadata"]["resourceVersion"]

    def _is_at_rest(self, key: Key, item: JsonObject) -> bool:
        version = item["metadata"].get("resourceVersion", "")
        if self._versions.get(key) == version:
            return True
        if item.get("status", {}).get("phase") not in (Phase.SUCCEEDED, Phase.FAILED):
            return False  # most need not be understood to see that
        try:
            job = FineTuneJob.from_stored(item)
        except ValidationError:
            return False
        if job.spec.managed_by not in MANAGED_HERE or not at_rest(job):
            return False
        self._versions[key] = version
        self._board.saw(key, job)
        return True
