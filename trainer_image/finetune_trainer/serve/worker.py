"""Answers one after the other in one thread, so that the event loop never waits for a model."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from finetune_trainer.serve.errors import (
    GenerationError,
    RequestError,
    TooManyRequestsError,
    UnavailableNowError,
)
from finetune_trainer.serve.generation import Ended, Event, generate
from finetune_trainer.serve.models import Served
from finetune_trainer.serve.requests import AnyRequest

log = logging.getLogger(__name__)

_Emit = Callable[[Event | RequestError], None]


class Worker:
    """The thread that owns the models."""

    def __init__(self, load: Callable[[], Mapping[str, Served]], limit: int, seconds: int) -> None:
        self._thread = ThreadPoolExecutor(1, "model")
        self._load = load
        self._limit = limit
        self._seconds = seconds
        self._models: Mapping[str, Served] = {}
        self.pending = 0
        """Requests that wait or are being answered."""

    async def start(self) -> None:
        """Load the models; raises what loading raises."""
        loop = asyncio.get_running_loop()
        self._models = await loop.run_in_executor(self._thread, self._load)

    def stop(self) -> None:
        """Wait for the token that is being computed; to be called when no answer is wanted."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def answer(self, model: str, request: AnyRequest) -> AsyncGenerator[Event, None]:
        """The events of one answer; closing the generator stops the model at its next token.

        Raises:
            TooManyRequestsError: as many wait as may.
            UnavailableNowError: it took too long, the waiting included.
            RequestError: the request cannot be answered.
        """
        if self.pending > self._limit:  # one is being answered, the others wait
            raise TooManyRequestsError(
                f"{self._limit} requests are waiting already: try again later"
            )
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event | RequestError] = asyncio.Queue()
        deadline = loop.time() + self._seconds

        def emit(event: Event | RequestError) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        cancelled = threading.Event()
        self.pending += 1
        future = self._thread.submit(self._generate, model, request, emit, cancelled)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        try:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        event = await events.get()
                except TimeoutError as error:
                    raise UnavailableNowError(
                        f"no whole answer within {self._seconds} s: ask for fewer tokens"
                    ) from error
                if isinstance(event, RequestError):
                    raise event
                yield event
                if isinstance(event, Ended):
                    return
        finally:
            cancelled.set()
            future.cancel()  # if it has not begun

    def _done(self) -> None:
        self.pending -= 1

    def _generate(
        self, model: str, request: AnyRequest, emit: _Emit, cancelled: threading.Event
    ) -> None:
        """In the thread: every end of it is an event."""
        try:
            generate(self._models[model], request, emit, cancelled)
        except RequestError as error:
            emit(error)
        except Exception:
            log.exception("the model %s failed", model)
            emit(GenerationError(f"the model {model} failed; the server's log says how"))
