"""The routes: OpenAI's under /v1, probes and metrics beside them."""

import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from finetune_trainer.errors import UnavailableError
from finetune_trainer.serve.backend import Backend, Call
from finetune_trainer.serve.config import ServeConfig
from finetune_trainer.serve.errors import (
    RequestError,
    UnavailableNowError,
    UnknownModelError,
    envelope,
)
from finetune_trainer.serve.metrics import Metrics
from finetune_trainer.serve.requests import ChatRequest, TextRequest
from finetune_trainer.serve.traffic import Traffic

BODY_BYTES = 8 << 20
"""Longest request body: far above any prompt that fits a context."""

_UNKNOWN = "unknown"
"""Value of the label `model` where no configured model was asked for."""

_MODEL = web.RequestKey("model", str)

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Routes of one workspace over one backend."""

    def __init__(
        self, config: ServeConfig, traffic: Traffic, backend: Backend, metrics: Metrics
    ) -> None:
        self._config = config
        self._traffic = traffic
        self._backend = backend
        self._metrics = metrics
        self._created = int(time.time())
        self._ready = False
        self._draining = False

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._envelope], client_max_size=BODY_BYTES)
        app.on_response_prepare.append(self._part)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/v1/models/{name}", self._show_model)
        app.router.add_post(ChatRequest.path, self._chat)
        app.router.add_post(TextRequest.path, self._text)
        return app

    async def become_ready(self) -> None:
        """Start the backend and let the base and each revision generate once.

        Raises:
            TrainerError: the models cannot be loaded, or one does not answer.
        """
        await self._backend.start()
        for model in self._config.models:
            try:
                await self._backend.prove(model)
            except RequestError as error:
                raise UnavailableError(f"{model} does not answer: {error}") from error
        self._ready = True
        log.info("ready: %s", ", ".join(self._traffic.names))

    def drain(self) -> None:
        """Take no more part in the Service, and send away whoever has kept a connection."""
        self._draining = True

    async def _part(self, _: web.Request, response: web.StreamResponse) -> None:
        """A client that connects anew finds another pod; this one would soon close on it."""
        if self._draining:
            response.headers["Connection"] = "close"
            response.force_close()

    async def _healthz(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.StreamResponse:
        if self._ready and not self._draining and await self._backend.healthy():
            return web.Response(text="ok\n")
        return web.Response(text="the models do not answer yet\n", status=503)

    async def _show_metrics(self, _: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics.text(), headers=headers)

    async def _list_models(self, _: web.Request) -> web.StreamResponse:
        models = [self._describe(name) for name in self._traffic.names]
        return web.json_response({"object": "list", "data": models})

    async def _show_model(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._traffic.names:
            raise self._unknown(name)
        return web.json_response(self._describe(name))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, ChatRequest)

    async def _text(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, TextRequest)

    async def _answer(
        self, request: web.Request, kind: type[ChatRequest] | type[TextRequest]
    ) -> web.StreamResponse:
        body = await _json_object(request)
        asked = body.get("model")
        if not isinstance(asked, str):
            raise RequestError("you must provide a model parameter", param="model")
        model = self._traffic.resolve(asked)
        if model is None:
            raise self._unknown(asked)
        request[_MODEL] = model
        if not self._ready:
            raise UnavailableNowError("the models are being loaded, or the server is stopping")
        return await self._backend.answer(request, Call(kind, body, model))

    def _unknown(self, name: str) -> UnknownModelError:
        return UnknownModelError(
            f"The model `{name}` does not exist; there are {', '.join(self._traffic.names)}",
            param="model",
            code="model_not_found",
        )

    def _describe(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": self._config.name,
        }

    @web.middleware
    async def _envelope(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors as OpenAI's clients read them; every answer under /v1 is counted."""
        began = time.monotonic()
        try:
            response = await handler(request)
        except RequestError as error:
            headers = {"Retry-After": "1"} if error.status in (429, 503) else {}
            response = web.json_response(error.envelope(), status=error.status, headers=headers)
        except web.HTTPException as error:
            text = f"{error.reason}: {request.method} {request.path}"
            content = envelope(text, "invalid_request_error", None, None)
            response = web.json_response(content, status=error.status)
        if request.method == "POST":
            model = request.get(_MODEL, _UNKNOWN)
            self._metrics.requests.labels(model, str(response.status)).inc()
            self._metrics.seconds.labels(model).observe(time.monotonic() - began)
        return response


async def _json_object(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    return body
