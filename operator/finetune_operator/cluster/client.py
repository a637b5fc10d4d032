"""A small client of the API server: what is asked of objects, by server-side apply where they are
made."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from finetune_operator.cluster import errors
from finetune_operator.cluster.clock import ServerClock
from finetune_operator.cluster.connection import Connection
from finetune_operator.cluster.merge_patch import merge_patch
from finetune_operator.cluster.session import CALL_SECONDS, FIELD_MANAGER, Session
from finetune_operator.domain.actions import Delete, Finalize, JsonObject
from finetune_operator.domain.kinds import BY_MANIFEST, POD, Kind

LIST_CHUNK = 100
"""Objects per page. A job takes some 70 KB of memory while it is looked through: of as many as
client-go's informers ask for, 500, that would be more than all that the operator keeps."""


def path_of(kind: Kind, namespace: str | None, name: str = "", subresource: str = "") -> str:
    """The URL path of an object, or of a collection when no name is given."""
    parts = ["apis" if kind.group else "api", kind.api_version]
    if kind.namespaced and namespace:
        parts += ["namespaces", quote(namespace)]
    parts += [kind.plural, *(quote(part) for part in (name, subresource) if part)]
    return "/" + "/".join(parts)


class Client(Session):
    """The verbs of the API, as far as the operator has use for them."""

    def __init__(
        self,
        connection: Connection,
        call_seconds: float = CALL_SECONDS,
        may_write: Callable[[], bool] = lambda: True,
        namespaces: Sequence[str] = (),
        clock: ServerClock | None = None,
    ) -> None:
        super().__init__(connection, call_seconds, may_write, clock)
        self._namespaces = namespaces
        """All that there are, as far as this session goes; none: those of the cluster."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> JsonObject | None:
        """The object as it is now, or None if there is none."""
        try:
            return await self._request("GET", path_of(kind, namespace, name))
        except errors.NotFoundError:
            return None

    async def list_objects(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
    ) -> list[JsonObject]:
        """All objects that match both selectors, of one namespace or of all."""
        everywhere = namespace is None and kind.namespaced and self._namespaces
        lists = await asyncio.gather(
            *(
                self.list_at_version(kind, each, labels=labels, fields=fields)
                for each in (self._namespaces if everywhere else (namespace,))
            )
        )
        return [item for items, _ in lists for item in items]

    async def list_at_version(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
    ) -> tuple[list[JsonObject], str]:
        """The same with the resourceVersion of the list, from which a watch can go on."""
        found: list[JsonObject] = []
        version = ""
        pages = self.pages(kind, namespace, labels=labels, fields=fields)
        async for page, version in pages:  # noqa: B007  # the last one's is that of the list
            found += page
        return found, version

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[tuple[list[JsonObject], str]]:
        """The same in parts, for whoever need not have all objects in memory at once."""
        query = {"limit": str(LIST_CHUNK)}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        while True:
            page = await self._request("GET", path_of(kind, namespace), query=query)
            metadata = page.get("metadata", {})
            yield page.get("items") or [], metadata.get("resourceVersion", "")
            token = metadata.get("continue")
            if not token:
                return
            query["continue"] = token

    async def apply(self, manifest: Mapping[str, Any]) -> JsonObject:
        """Server-side apply: creates the object or changes the fields that are ours."""
        kind = BY_MANIFEST[manifest["apiVersion"], manifest["kind"]]
        metadata = manifest["metadata"]
        return await self._request(
            "PATCH",
            path_of(kind, metadata.get("namespace"), metadata["name"]),
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=manifest,
            content_type="application/apply-patch+yaml",
        )

    async def create(self, manifest: Mapping[str, Any]) -> JsonObject:
        """Creates an object that must not be there yet.

        Raises:
            ConflictError: there is one of that name; after a lost answer it may be this very one,
                so whoever asked looks again and decides anew.
        """
        kind = BY_MANIFEST[manifest["apiVersion"], manifest["kind"]]
        return await self._request(
            "POST",
            path_of(kind, manifest["metadata"].get("namespace")),
            query={"fieldManager": FIELD_MANAGER},
            body=manifest,
        )

    async def merge(self, manifest: Mapping[str, Any]) -> JsonObject:
        """Makes the fields of an object that are given what they are given as.

        Raises:
            NotFoundError: there is none of that name.
        """
        kind = BY_MANIFEST[manifest["apiVersion"], manifest["kind"]]
        metadata = manifest["metadata"]
        return await self._request(
            "PATCH",
            path_of(kind, metadata.get("namespace"), metadata["name"]),
            query={"fieldManager": FIELD_MANAGER},
            body=manifest,
            content_type="application/merge-patch+json",
        )

    async def replace(self, manifest: Mapping[str, Any]) -> JsonObject:
        """PUT: makes the object exactly this one, if it is still of the version given in it.

        Of a kind that may be created so (Lease), one without a version is created.

        Raises:
            ConflictError: the object has changed since it was read, or was replaced.
            RefusedError: also when an object without a version is there already.
        """
        kind = BY_MANIFEST[manifest["apiVersion"], manifest["kind"]]
        metadata = manifest["metadata"]
        return await self._request(
            "PUT",
            path_of(kind, metadata.get("namespace"), metadata["name"]),
            query={"fieldManager": FIELD_MANAGER},
            body=manifest,
        )

    async def patch_status(
        self, kind: Kind, live: JsonObject, status: JsonObject
    ) -> JsonObject | None:
        """Makes `status` the status of the object read as `live`.

        Returns:
            The object as it is now; None if its status was so already.

        Raises:
            ConflictError: the object has changed since it was read.
        """
        patch = merge_patch(live.get("status") or {}, status)
        if not patch:
            return None
        metadata = live["metadata"]
        return await self._request(
            "PATCH",
            path_of(kind, metadata.get("namespace"), metadata["name"], "status"),
            query={"fieldManager": FIELD_MANAGER},
            body={"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": patch},
            content_type="application/merge-patch+json",
        )

    async def finalize(self, target: Finalize) -> None:
        """Sets the finalizers of that very version of an object.

        Raises:
            ConflictError: the object has changed since it was read.
        """
        meta = {"resourceVersion": target.resource_version, "finalizers": list(target.finalizers)}
        await self._request(
            "PATCH",
            path_of(target.kind, target.namespace, target.name),
            query={"fieldManager": FIELD_MANAGER},
            body={"metadata": meta},
            content_type="application/merge-patch+json",
        )

    async def delete(self, target: Delete) -> None:
        """Deletes that very object, its dependents in the background; gone already is well.

        An object of another uid that has taken the name is left alone.
        """
        options: JsonObject = {
            "propagationPolicy": "Background",
            "preconditions": {"uid": target.uid},
        }
        if target.force:
            options["gracePeriodSeconds"] = 0
        path = path_of(target.kind, target.namespace, target.name)
        try:
            await self._request("DELETE", path, body=options)
        except (errors.NotFoundError, errors.ConflictError):
            return

    async def last_lines(self, namespace: str, pod: str, container: str) -> str:
        """The end of what a container printed, some 20 lines; empty where it cannot be had.

        Asked for once: the kubelet of a lost node never answers, and a job must not wait for it.
        """
        query = {"container": container, "tailLines": "20", "limitBytes": "16384"}
        path = path_of(POD, namespace, pod, "log")
        try:
            return await self._attempt("GET", path, query)
        except errors.ApiError:
            return ""

    async def get_path(self, path: str) -> JsonObject:
        """What the server answers at a path that is no object, such as its signing keys."""
        return await self._request("GET", path)
