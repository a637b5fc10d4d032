"""Who wants what of the operator meanwhile: jobs, each with the end that it has earned."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiohttp
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from finetune_trainer.oci.layout import pack
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry
from tests.cluster.kube import Object, merge
from tests.cluster.resilience.chaos import given_nodes
from tests.cluster.resilience.chaos.pod_logs import PodLogs
from tests.cluster.resilience.jobs import INTERVAL, Sources, finetune_job, text
from tests.cluster.simulation.api import MERGE, Api
from tests.cluster.simulation.world import JOBS
from tests.cluster.tiny_model import write_tiny_model

STEPS = 300
MIDST = 2 * INTERVAL
"""The step from which people change their minds."""
WORKSPACE = "support"
POLL_SECONDS = 0.5
RESTS_SECONDS = 3.0

Answer = TypeVar("Answer")


async def insist(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Asks until it is answered: the API server may be away."""
    while True:
        try:
            return await ask()
        except (AssertionError, TimeoutError, aiohttp.ClientError, ValueError):
            await asyncio.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class Bad:
    """What no operator can make a success of, in the cluster's registry."""

    model: str
    """Its numbers are finite, and no sum of them is."""
    data: str


def push_bad(registry: str, folder: Path) -> Bad:
    model, data = folder / "huge-model", folder / "broken-data"
    write_tiny_model(model)
    torch.manual_seed(7)
    made = LlamaForCausalLM(LlamaConfig.from_pretrained(model))
    with torch.no_grad():
        made.lm_head.weight.fill_(3e38)
    made.save_pretrained(model)
    data.mkdir()
    lines = [json.dumps({"text": text(number)}) for number in range(20)]
    lines[7] = '{"text": '
    (data / "train.jsonl").write_text("\n".join(lines))

    def push(source: Path) -> str:
        files = {path.name: path for path in source.iterdir()}
        packed = pack(files, {}, folder / "images" / source.name)
        target = ImageReference.parse(f"oci://{registry}/resilience/{source.name}:v1")
        Registry(None, (registry,)).push(packed, target)
        return target.at(packed.digest).uri

    return Bad(push(model), push(data))


PUBLISHED: Object = {"publish": {"type": "Workspace", "workspace": {"name": WORKSPACE}}}


def given(number: int) -> tuple[str, str]:
    """Jobs of a cast that nodes come for: one that ends well, one that is deleted meanwhile."""
    return f"given-{number}", f"deleted-given-{number}"


@dataclass(frozen=True)
class People:
    """Apply jobs, suspend and resume one of them, delete two others."""

    api: Api
    namespace: str
    sources: Sources
    bad: Bad
    logs: PodLogs

    def manifests(self, number: int) -> Iterable[Object]:
        """Of the cast of that number."""
        yield self._job(f"steady-{number}", PUBLISHED)
        yield self._job(f"paused-{number}")
        yield self._job(f"deleted-{number}")
        yield self._job(f"diverges-{number}", {"model": {"storageUri": self.bad.model}})
        yield self._job(f"bad-data-{number}", {"dataset": {"train": [self._broken()]}})
        for name in given(number):
            yield given_nodes.manifest(self.namespace, name)

    def _broken(self) -> Object:
        return {"storageUri": self.bad.data}

    def _job(self, name: str, spec: Object | None = None) -> Object:
        common = {"training": {"maxSteps": STEPS}, "restarts": {"limit": 100}}
        change = {"spec": merge(common, spec or {})}
        return finetune_job(name, self.sources, self.namespace, change=change)

    async def live(self, number: int) -> None:
        """Returns when they have nothing more to do but wait."""
        for manifest in self.manifests(number):
            path = self._path(manifest["metadata"]["name"])
            await insist(partial(self.api.apply, path, manifest))
        _, on_given_nodes = given(number)
        await asyncio.gather(
            self._pause(f"paused-{number}"),
            self._delete(f"deleted-{number}"),
            self._delete_while_it_holds_nodes(on_given_nodes),
        )

    async def _pause(self, name: str) -> None:
        await self._trained(name)
        await self._change(name, suspend=True)
        while True:
            found = await insist(lambda: self.api.ask("GET", self._path(name)))
            if found["status"]["phase"] in ("Suspended", "Succeeded", "Failed"):
                break  # the last two where it was over first
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.sleep(RESTS_SECONDS)
        await self._change(name, suspend=False)

    async def _delete(self, name: str) -> None:
        await self._trained(name)
        await insist(lambda: self.api.ask("DELETE", self._path(name), absent=True))

    async def _delete_while_it_holds_nodes(self, name: str) -> None:
        """Or, where nobody saw it train, when it is over: it may hold its nodes even then."""
        while True:
            found = await insist(lambda: self.api.ask("GET", self._path(name)))
            if found.get("status", {}).get("phase") in ("Training", "Publishing", "Succeeded"):
                break
            await asyncio.sleep(POLL_SECONDS)
        await insist(lambda: self.api.ask("DELETE", self._path(name), absent=True))

    async def _trained(self, name: str) -> None:
        while True:
            if self.logs.step(name) >= MIDST:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _change(self, name: str, **spec: object) -> None:
        path, change = self._path(name), {"spec": spec}
        await insist(lambda: self.api.ask("PATCH", path, change, content_type=MERGE))

    def _path(self, name: str) -> str:
        return f"{JOBS.format(self.namespace)}/{name}"
