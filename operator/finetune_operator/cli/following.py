"""Follows a job's logs from container to container until the job ends."""

import asyncio

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus
from finetune_operator.cli import jobs
from finetune_operator.cli.job_state import End, end, telling
from finetune_operator.cli.log_sources import Source, Wanted, sources
from finetune_operator.cli.log_writer import LogWriter
from finetune_operator.cli.pods import ordered
from finetune_operator.cli.refusals import aside, say
from finetune_operator.cluster.errors import ApiError, NotFoundError, RefusedError
from finetune_operator.cluster.mirror import Mirror, Selection
from finetune_operator.cluster.pod_logs import log_lines
from finetune_operator.cluster.user_client import UserClient
from finetune_operator.domain import names
from finetune_operator.domain.kinds import FINE_TUNE_JOB, POD
from finetune_trainer.exit_codes import ExitCode

AGAIN_SECONDS = 1.0
"""Before a log that broke off is asked for again."""
LAST_WORDS_SECONDS = 10.0
"""How long what is still being read may take once the job has ended."""
LOOK_SECONDS = 5.0
"""Before it is seen that a log cannot be read, or that nobody reads what is written."""
DELETED = End(ExitCode.CONFIGURATION_ERROR, "deleted while its logs were followed")


class Follower:
    """One `logs --follow`. Made and used within one running event loop."""

    def __init__(
        self,
        client: UserClient,
        job: FineTuneJob,
        wanted: Wanted,
        writer: LogWriter,
        tail: int | None,
    ) -> None:
        self._client = client
        self._job = job
        self._namespace = job.metadata.namespace
        self._wanted = wanted
        self._writer = writer
        self._tail = tail
        self._jobs = Selection(
            FINE_TUNE_JOB, self._namespace, fields=f"metadata.name={job.metadata.name}"
        )
        self._pods = Selection(POD, self._namespace, labels=f"{names.JOB_UID}={job.metadata.uid}")
        self._mirror = Mirror(client, self._jobs, self._pods)
        self._readers: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def follow(self) -> int:
        """Returns the exit code that says how the job ended.

        Raises:
            ApiError
            BrokenPipeError
        """
        async with self._mirror:
            try:
                await self._read_what_was_said()
                ended = await self._until_it_ends()
                await self._hear_last_words()
            finally:
                for reader in self._readers.values():
                    reader.cancel()
                await asyncio.gather(*self._readers.values(), return_exceptions=True)
        say(aside(), "end", f"{jobs.title(self._job)} {ended.message}")
        return ended.code

    async def _read_what_was_said(self) -> None:
        """In the order of the job's life; what runs now is read side by side."""
        for source in self._found():
            reader = self._begin(source, self._tail)
            if source.over:
                await reader

    async def _until_it_ends(self) -> End:
        shown: FineTuneJobStatus | None = None
        while True:
            for source in self._found():
                self._begin(source)
            for reader in self._readers.values():
                if reader.done():
                    reader.result()
            stored = self._mirror.objects[self._jobs].get(self._job.metadata.uid)
            if stored is None:
                return DELETED
            status = jobs.read(stored).status
            if ended := end(status):
                return ended
            self._say_what_changed(shown, status)
            shown = status
            await self._mirror.change(LOOK_SECONDS)

    async def _hear_last_words(self) -> None:
        for source in self._found():
            self._begin(source)
        if self._readers:
            done, _ = await asyncio.wait(self._readers.values(), timeout=LAST_WORDS_SECONDS)
            for reader in done:
                reader.result()

    def _found(self) -> list[Source]:
        pods = ordered(self._mirror.objects[self._pods].values())
        return list(sources(pods, self._wanted))

    def _begin(self, source: Source, tail: int | None = None) -> asyncio.Task[None]:
        key = source.uid, source.container
        if key not in self._readers:
            own = [reader for (uid, _), reader in self._readers.items() if uid == source.uid]
            self._readers[key] = asyncio.create_task(self._read(source, tail, own))
        return self._readers[key]

    async def _read(
        self, source: Source, tail: int | None, before: list[asyncio.Task[None]]
    ) -> None:
        """To the end of the container, whatever breaks off meanwhile; the containers of a pod one
        `before` the other, as they ran."""
        await asyncio.gather(*before)
        after = ""
        while True:
            try:
                async for line in log_lines(
                    self._client,
                    self._namespace,
                    source.pod,
                    source.container,
                    follow=True,
                    tail=tail,
                    after=after,
                ):
                    after = line.moment or after
                    self._writer.write(source, line.text)
            except NotFoundError:
                return
            except ApiError as error:
                not_started = isinstance(error, RefusedError)
                if not (error.retriable or not_started):
                    raise
            if self._is_over(source):
                return
            await asyncio.sleep(AGAIN_SECONDS)

    def _is_over(self, source: Source) -> bool:
        """Ended or gone, as far as the mirror knows."""
        now = [each for each in self._found() if each.uid == source.uid]
        return all(each.over for each in now if each.container == source.container)

    def _say_what_changed(self, before: FineTuneJobStatus | None, after: FineTuneJobStatus) -> None:
        told = _headline(after)
        if told and (before is None or _headline(before) != told):
            say(aside(), after.phase or "", told)


def _headline(status: FineTuneJobStatus) -> str:
    told = telling(status)
    return " ".join(told.message.split()) if told else ""
