"""Who answers a request: models in this process (local), or a server behind it (upstream)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from finetune_trainer.serve.requests import ChatRequest, TextRequest

REVISION_HEADER = "x-finetune-revision"
"""Response header with the name of the model that answered."""


@dataclass(frozen=True)
class Call:
    """One request, routed."""

    kind: type[ChatRequest] | type[TextRequest]
    body: Mapping[str, Any]
    model: str
    """Who is to answer: never the workspace's own name."""


class Backend(Protocol):
    """What the routes stand on."""

    async def start(self) -> None:
        """Return when the models can be asked; raises TrainerError when they never will be."""

    async def prove(self, model: str) -> None:
        """Generate one token; raises when the model does not answer."""

    async def healthy(self) -> bool:
        """Whether the models can still be asked."""

    async def answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        """The response, streamed when the client wants that; raises RequestError."""

    async def close(self) -> None:
        """Let go of everything; no request is being answered any more."""
