"""Tell the operator how far the run is; never needed for correctness, never in the way of it."""

import json
import logging
import os
import threading
import urllib.request
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from finetune_trainer.manifest import Progress

log = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between posts."""
HEARTBEAT = 30.0
"""Seconds after which the same is posted again: a run that says so, but takes no step, hangs; one
that says nothing may only have lost the network."""
TIMEOUT = 5.0
"""Seconds for one post."""


class ProgressReporter:
    """Posts the newest progress from a thread of its own; errors are logged once and forgotten."""

    def __init__(self, url: str, token_path: Path) -> None:
        self._url = url
        self._token_path = token_path
        self._newest: Progress | None = None
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    @classmethod
    def from_environment(cls) -> Self:
        """An empty FINETUNE_PROGRESS_URL posts nothing."""
        return cls(
            os.environ.get("FINETUNE_PROGRESS_URL", ""),
            Path(
                os.environ.get(
                    "FINETUNE_PROGRESS_TOKEN_PATH",
                    "/var/run/secrets/finetune.dev/progress/token",
                )
            ),
        )

    def __enter__(self) -> Self:
        if self._url:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(2 * TIMEOUT)

    def report(self, progress: Progress) -> None:
        """Replace what is posted next; returns at once. Held-out loss stays until it is measured
        again."""
        before = self._newest
        if before and progress.validation_loss is None:
            kept = {"validation_loss": before.validation_loss}
            progress = progress.model_copy(update=kept)
        self._newest = progress
        self._changed.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._changed.wait(HEARTBEAT)
            self._changed.clear()
            if self._newest is not None:
                self._post(self._newest)
            self._closing.wait(INTERVAL)
        if self._changed.is_set() and self._newest is not None:
            self._post(self._newest)

    def _post(self, progress: Progress) -> None:
        try:
            request = urllib.request.Request(  # noqa: S310 - the operator's own address
                self._url,
                data=json.dumps(progress.model_dump(mode="json", exclude_none=True)).encode(),
                headers={
                    "Content-Type": "application/json",
                    # Read each time: the kubelet renews the token.
                    "Authorization": f"Bearer {self._token_path.read_text().strip()}",
                },
            )
            with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310
                self._failing = False
        except (OSError, HTTPException) as error:
            if not self._failing:
                log.warning("progress could not be posted to %s: %s", self._url, error)
            self._failing = True
