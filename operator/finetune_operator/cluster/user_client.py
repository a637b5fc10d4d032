"""What a person's program asks of the API server besides: answers that go on, and small changes."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp

from finetune_operator.cluster import errors
from finetune_operator.cluster.client import Client, path_of
from finetune_operator.cluster.session import ATTEMPT_SECONDS, reason_of
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import Kind

FIELD_MANAGER = "kubectl-finetune"


class UserClient(Client):
    """Acts for the user of a kubeconfig."""

    async def patch(
        self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any]
    ) -> JsonObject:
        """Merge patch of an object, whatever else was changed in it meanwhile."""
        return await self._request(
            "PATCH",
            path_of(kind, namespace, name),
            query={"fieldManager": FIELD_MANAGER},
            body=change,
            content_type="application/merge-patch+json",
        )

    async def lines(
        self, path: str, query: Mapping[str, str], *, silence: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of an answer that may go on for ever: a watch, or a log that is followed.

        Not tried again, because only the reader knows where it was.

        Args:
            silence: seconds without a byte after which the connection counts as broken.

        Raises:
            ApiError: it was refused, could not be made, or broke.
        """
        if self._session is None:
            raise RuntimeError("the client is used outside its context")
        authorization = self._connection.authorization()
        try:
            async with self._session.get(
                self._connection.url + path,
                params=query,
                headers={"Authorization": authorization} if authorization else {},
                timeout=aiohttp.ClientTimeout(sock_connect=ATTEMPT_SECONDS, sock_read=silence),
            ) as response:
                if response.status >= 400:
                    said = await response.text()
                    raise errors.from_status(response.status, reason_of(said))
                rest = b""
                async for chunk in response.content.iter_any():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line
                if rest:
                    yield rest
        except (aiohttp.ClientError, TimeoutError) as error:
            raise errors.UnavailableError(
                f"GET {path}: {str(error) or type(error).__name__}"
            ) from error
