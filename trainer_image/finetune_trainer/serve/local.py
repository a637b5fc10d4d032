"""Answers from models in this process."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from aiohttp import web

from finetune_trainer.serve.answers import Answer
from finetune_trainer.serve.backend import REVISION_HEADER, Call
from finetune_trainer.serve.config import ServeConfig
from finetune_trainer.serve.errors import RequestError
from finetune_trainer.serve.generation import Ended, Event, Usage
from finetune_trainer.serve.metrics import Metrics
from finetune_trainer.serve.models import load
from finetune_trainer.serve.requests import AnyRequest, TextRequest, parse
from finetune_trainer.serve.sse import DONE, event
from finetune_trainer.serve.worker import Worker

_PROOF = TextRequest(model="", prompt="Hello", max_tokens=1, temperature=0)


class LocalBackend:
    """Models loaded here, answering one request after the other."""

    def __init__(self, config: ServeConfig, metrics: Metrics) -> None:
        self._worker = Worker(partial(load, config), config.queue_limit, config.request_seconds)
        self._metrics = metrics
        metrics.pending.set_function(lambda: self._worker.pending)

    async def start(self) -> None:
        await self._worker.start()

    async def prove(self, model: str) -> None:
        async with aclosing(self._worker.answer(model, _PROOF)) as events:
            async for _ in events:
                pass

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        self._worker.stop()

    async def answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        parsed = parse(call.kind, call.body)
        answer = Answer(call.kind, call.model)
        async with aclosing(self._counted(call.model, parsed)) as events:
            if parsed.stream:
                include_usage = parsed.stream_options.include_usage
                return await _stream(request, answer, events, include_usage=include_usage)
            return await _whole(answer, events)

    async def _counted(self, model: str, parsed: AnyRequest) -> AsyncGenerator[Event, None]:
        began = time.monotonic()
        waiting = True
        async with aclosing(self._worker.answer(model, parsed)) as events:
            async for item in events:
                if waiting and isinstance(item, str):
                    waiting = False
                    seconds = time.monotonic() - began
                    self._metrics.first_token_seconds.labels(model).observe(seconds)
                if isinstance(item, Ended):
                    self._count(model, item.usage)
                yield item

    def _count(self, model: str, usage: Usage) -> None:
        self._metrics.tokens.labels(model, "prompt").inc(usage.prompt_tokens)
        self._metrics.tokens.labels(model, "completion").inc(usage.completion_tokens)


async def _whole(answer: Answer, events: AsyncGenerator[Event, None]) -> web.StreamResponse:
    pieces: list[str] = []
    async for item in events:
        if isinstance(item, str):
            pieces.append(item)
        elif isinstance(item, Ended):
            content = answer.whole("".join(pieces), item)
            return web.json_response(content, headers={REVISION_HEADER: answer.model})
    raise AssertionError("an answer ends with Ended or an error")


async def _stream(
    request: web.Request,
    answer: Answer,
    events: AsyncGenerator[Event, None],
    *,
    include_usage: bool,
) -> web.StreamResponse:
    await anext(events)  # Started: until then an error has a status of its own
    headers = {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache",
        REVISION_HEADER: answer.model,
    }
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    if opening := answer.opening():
        await response.write(event(opening))
    try:
        async for item in events:
            if isinstance(item, str):
                await response.write(event(answer.piece(item)))
            elif isinstance(item, Ended):
                await response.write(event(answer.closing(item.finish)))
                if include_usage:
                    await response.write(event(answer.accounting(item.usage)))
    except RequestError as error:
        await response.write(event(error.envelope()))
        return response
    await response.write(DONE)
    return response
