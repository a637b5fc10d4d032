"""What the API server says of the jobs, again and again; and whether it ever takes a word back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import aiohttp

from tests.cluster.kube import Object, is_true
from tests.cluster.simulation.api import Api
from tests.cluster.simulation.world import JOBS

POLL_SECONDS = 0.5
FOR_GOOD = ("Trained", "Succeeded", "Failed")
"""Conditions that never cease to hold."""
COUNTERS = ("current", "failures", "disruptions")


class Chronicle:
    """Jobs and pods as they were last seen, and what went back in the meantime."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.jobs: dict[str, Object] = {}
        self.pods: list[Object] = []
        self.taken_back: list[str] = []
        self._api = api
        self._namespace = namespace

    async def write(self) -> None:
        """Runs for ever."""
        while True:
            with contextlib.suppress(AssertionError, TimeoutError, aiohttp.ClientError, ValueError):
                await self.look()  # unless the API server is away
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        found = {
            each["metadata"]["name"]: each
            for each in await self._api.items(JOBS.format(self._namespace))
        }
        for name, after in found.items():
            before = self.jobs.get(name)
            if before and before["metadata"]["uid"] == after["metadata"]["uid"]:
                self.taken_back += [
                    f"{name}: {each}"
                    for each in went_back(before.get("status", {}), after.get("status", {}))
                ]
        self.jobs = found
        self.pods = await self._api.items(f"/api/v1/namespaces/{self._namespace}/pods")


def went_back(before: Object, after: Object) -> Iterator[str]:
    """What an earlier status said that a later one must not contradict."""
    for kind in FOR_GOOD:
        if is_true({"status": before}, kind) and not is_true({"status": after}, kind):
            yield f"{kind} holds no longer"
    counted, now = before.get("attempts", {}), after.get("attempts", {})
    for each in COUNTERS:
        if now.get(each, 0) < counted.get(each, 0):
            yield f"attempts.{each} fell from {counted[each]} to {now.get(each)}"
    if now.get("current") == counted.get("current") and _step(after) < _step(before):
        yield f"step fell from {_step(before)} to {_step(after)} within an attempt"
    for field in ("resolved", "artifacts", "published"):
        if before.get(field) and not _contains(after.get(field), before[field]):
            yield f"{field} was {before[field]} and is {after.get(field)}"
    if after.get("observedGeneration", 0) < before.get("observedGeneration", 0):
        yield "observedGeneration fell"


def _step(status: Object) -> int:
    step: int = status.get("progress", {}).get("step", 0)
    return step


def _contains(after: object, before: object) -> bool:
    if isinstance(before, dict):
        return isinstance(after, dict) and after.items() >= before.items()
    return after == before
