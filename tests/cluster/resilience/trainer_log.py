"""What a user sees of a training: the trainer's log, followed while it is written."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from typing import Self

from tests.cluster.kube import Kube, Object

STARTS_WITHIN = 240
"""Seconds until a pod of an attempt runs; the image may have to be pulled first."""

_STEP = re.compile(r"step (\d+)/(\d+)  loss (\S+)")
_RESUMED = re.compile(r"going on from step (\d+)")


class Steps:
    """What lines of a trainer's log say."""

    def __init__(self) -> None:
        self.losses: dict[int, float] = {}
        """By step, in the order in which they were trained."""
        self.resumed_from = 0

    @property
    def first(self) -> int:
        """The first step that was trained."""
        return next(iter(self.losses))

    @property
    def last(self) -> int:
        """The last step that was trained."""
        return max(self.losses)

    def take(self, line: str) -> None:
        if found := _STEP.search(line):
            self.losses[int(found[1])] = float(found[3])
        elif found := _RESUMED.search(line):
            self.resumed_from = int(found[1])


class TrainerLog(Steps):
    """The log of rank 0 of one attempt; complete once the container has ended.

    Used as a context, at whose end nothing is followed any more.
    """

    def __init__(self, kube: Kube, pod: str) -> None:
        super().__init__()
        self.pod = pod
        self._grown = threading.Condition()
        command = ["kubectl", "--namespace", kube.namespace, "logs", "--follow", pod, "-c", "train"]
        self._following = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    @classmethod
    def of_attempt(cls, kube: Kube, job: str, number: int) -> Self:
        """Follows rank 0 from the moment in which it runs, or ran."""
        return cls(kube, running_pod(kube, job, number, 0)["metadata"]["name"])

    def wait_for_step(self, step: int, *, deadline: float) -> None:
        """Returns when that step was trained; AssertionError when the trainer ended before it."""
        end = time.monotonic() + deadline
        with self._grown:
            while not self.losses or self.last < step:
                left = end - time.monotonic()
                assert left > 0, f"{self.pod} did not reach step {step}: {self.losses}"
                assert self._reading.is_alive(), f"{self.pod} ended before step {step}"
                self._grown.wait(min(left, 5))

    def ended(self, *, deadline: float) -> Self:
        """The whole log."""
        self._reading.join(deadline)
        assert not self._reading.is_alive(), f"{self.pod} goes on after {deadline} s"
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._following.kill()
        self._following.wait()
        self._reading.join()

    def _read(self) -> None:
        assert self._following.stdout is not None
        with self._following.stdout as lines:
            for line in lines:
                with self._grown:
                    self.take(line)
                    self._grown.notify_all()


def running_pod(kube: Kube, job: str, number: int, rank: int) -> Object:
    """The pod of a rank of an attempt, once its container runs or has run."""
    selector = (
        f"finetune.dev/job={job},finetune.dev/role=train,finetune.dev/attempt={number},"
        f"batch.kubernetes.io/job-completion-index={rank}"
    )

    def runs(pods: list[Object]) -> bool:
        return any(pod["status"]["phase"] in ("Running", "Succeeded", "Failed") for pod in pods)

    (pod,) = kube.wait_for_list("pods", selector, runs, deadline=STARTS_WITHIN)
    return pod
