"""Serves a story as an API server would: lists, watches, and logs that break off when told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from finetune_operator.cluster.user_client import UserClient
from finetune_operator.domain.views import view_pod
from tests.unit.cli.stories import Story
from tests.unit.cluster.test_client import Loopback
from tests.unit.domain.in_memory import Object
from tests.unit.domain.lifecycle.looks import edit


class StoryServer:
    """Every container says `lines` numbered lines, a second apart, and ends when the story says."""

    def __init__(self, story: Story, lines: int) -> None:
        self.story = story
        self.lines = lines
        self.breaks_after: int | None = None
        """The next log that is followed breaks off after so many lines."""
        self.forbidden_events = False
        self.changes: list[Object] = []
        """Patches of the job; each is obeyed at once."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._told = asyncio.Condition()
        self._version = 1

    async def tell(self) -> None:
        """Something has happened: watches say it, logs of ended containers end."""
        async with self._told:
            self._version += 1
            self._told.notify_all()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Gives its URL."""
        application = web.Application()
        jobs = "/apis/finetune.dev/v1beta1/namespaces/{namespace}/finetunejobs"
        pods = "/api/v1/namespaces/{namespace}/pods"
        application.router.add_get(jobs, self._jobs)
        application.router.add_get("/apis/finetune.dev/v1beta1/finetunejobs", self._jobs)
        application.router.add_get(f"{jobs}/{{name}}", self._job)
        application.router.add_patch(f"{jobs}/{{name}}", self._change)
        application.router.add_get("/apis/batch/v1/namespaces/{namespace}/jobs", self._batch_jobs)
        application.router.add_get("/api/v1/namespaces/{namespace}/events", self._events)
        application.router.add_get(pods, self._pods)
        application.router.add_get(f"{pods}/{{name}}/log", self._log)
        runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[UserClient]:
        async with self.serving() as url, UserClient(Loopback(url), 5) as client:
            yield client

    async def _jobs(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, lambda: [self.story.job.to_dict()])

    async def _pods(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, lambda: self.story.all("Pod"))

    async def _batch_jobs(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, lambda: self.story.all("Job"))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.forbidden_events:
            return web.json_response({"message": "events is forbidden"}, status=403)
        about_job = self.story.job.metadata.uid in request.query["fieldSelector"]
        return web.json_response({"items": self.story.events if about_job else []})

    async def _job(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["name"] != self.story.job.metadata.name:
            return web.json_response({"message": "not found"}, status=404)
        return web.json_response(self.story.job.to_dict())

    async def _change(self, request: web.Request) -> web.StreamResponse:
        self.changes.append(await request.json())
        edit(self.story, **self.changes[-1]["spec"])
        self.story.settle()
        for pod in self.story.pods():
            saved = '{"reason": "Preempted", "message": "saved", "step": 431}'
            self.story.end(pod, 13, saved)
            await self.tell()
        self.story.settle()
        await self.tell()
        return web.json_response(self.story.job.to_dict())

    async def _answer(self, request: web.Request, objects: object) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        if "watch" not in request.query:
            items = list(self._as_they_are(objects).values())
            version = {"resourceVersion": str(self._version)}
            return web.json_response({"metadata": version, "items": items})
        response = web.StreamResponse()
        await response.prepare(request)
        before: dict[str, Object] = {}
        while True:
            now = self._as_they_are(objects)
            for uid, found in before.items():
                if uid not in now:
                    await _send(response, "DELETED", found)
            for uid, found in now.items():
                if before.get(uid) != found:
                    await _send(response, "MODIFIED" if uid in before else "ADDED", found)
            before = now
            async with self._told:
                await self._told.wait()

    def _as_they_are(self, objects: object) -> dict[str, Object]:
        assert callable(objects)
        copied: list[Object] = json.loads(json.dumps(objects()))
        for each in copied:
            each["metadata"]["resourceVersion"] = str(self._version)
        return {each["metadata"]["uid"]: each for each in copied}

    async def _log(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        name, container = request.match_info["name"], request.query["container"]
        since = request.query.get("sinceTime", "")[:19]
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(self.lines):
            moment = f"2026-11-22T10:00:{number:02}.000000000Z"
            if moment[:19] < since:
                continue
            if self.breaks_after == number:
                self.breaks_after = None
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(f"{moment} {container} says {number}\n".encode())
        async with self._told:
            await self._told.wait_for(lambda: self._has_ended(name, container))
        return response

    def _has_ended(self, name: str, container: str) -> bool:
        stored = self.story.objects.get(("Pod", name))
        pod = view_pod(stored) if stored else None
        running = {each.name for each in pod.containers if each.running} if pod else set()
        return container not in running


async def _send(response: web.StreamResponse, what: str, found: Object) -> None:
    await response.write(json.dumps({"type": what, "object": found}).encode() + b"\n")
