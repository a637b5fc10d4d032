"""kubectl as a user types it, bound to one namespace, and waits that end by an event or a deadline.

A wait follows a watch: it returns on the event that satisfies it and never sleeps. On its deadline
it tells the last state it saw.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

Object = dict[str, Any]


class KubectlError(Exception):
    """kubectl ended with an error; the message is what it wrote."""

    def __init__(self, arguments: tuple[str, ...], stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)}: {stderr.strip()}")
        self.stderr = stderr


class WaitTimeoutError(AssertionError):
    """The deadline passed first; the message holds the last state seen."""


def condition(item: Object, kind: str) -> Object:
    """The condition of that type, or an empty mapping when the object has none."""
    conditions: list[Object] = item.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def is_true(item: Object, kind: str) -> bool:
    return condition(item, kind).get("status") == "True"


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def restricted(name: str) -> Object:
    """A namespace that enforces the restricted Pod Security profile."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }


@dataclass(frozen=True)
class Kube:
    """kubectl in one namespace. An empty namespace is for objects of the whole cluster."""

    namespace: str
    kubeconfig: Path | None = None
    """Of another cluster than the one that we are inside."""

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Standard output of `kubectl ARGUMENTS`; KubectlError when it fails."""
        command = ["kubectl", *self._scope(), *arguments]
        ended = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        if ended.returncode != 0:
            raise KubectlError(arguments, ended.stderr)
        return ended.stdout

    def apply(self, *manifests: Object) -> str:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        return self.run("apply", "-f", "-", stdin=json.dumps(items))

    def refused(self, manifest: Object) -> str:
        """What the API server answers to a manifest that it must refuse."""
        try:
            self.apply(manifest)
        except KubectlError as error:
            return error.stderr
        raise AssertionError(f"accepted, but should be refused: {json.dumps(manifest)}")

    def get(self, resource: str, name: str) -> Object:
        found: Object = json.loads(self.run("get", resource, name, "-o", "json"))
        return found

    def exists(self, resource: str, name: str) -> bool:
        return bool(self.run("get", resource, name, "--ignore-not-found", "-o", "name"))

    def items(self, resource: str, selector: str = "") -> list[Object]:
        found = self.run("get", resource, "-o", "json", "--selector", selector)
        items: list[Object] = json.loads(found)["items"]
        return items

    def patch(self, resource: str, name: str, change: Object, *more: str) -> None:
        self.run("patch", resource, name, "--type", "merge", "-p", json.dumps(change), *more)

    def delete(self, resource: str, name: str, *, wait: float = 0) -> None:
        """Deletes; with `wait` (seconds) returns only when the object is gone."""
        bound = ["--wait=true", f"--timeout={wait}s"] if wait else ["--wait=false"]
        self.run("delete", resource, name, "--ignore-not-found", *bound, timeout=60 + wait)

    def wait_gone(self, resource: str, name: str, *, deadline: float) -> None:
        if self.exists(resource, name):
            self.run(
                "wait", "--for=delete", f"{resource}/{name}", f"--timeout={deadline}s",
                timeout=deadline + 30,
            )  # fmt: skip

    def wait_for(
        self, resource: str, name: str, until: Callable[[Object], bool], *, deadline: float
    ) -> Object:
        """The object as it was when `until` held; it need not exist yet.

        Raises WaitTimeoutError after `deadline` seconds.
        """
        field = f"--field-selector=metadata.name={name}"
        last: Object = {}
        for items in self._watch(resource, field, deadline=deadline):
            last = items.get(name, last)
            if name in items and until(items[name]):
                return items[name]
        raise WaitTimeoutError(
            f"{resource}/{name} in {self.namespace}: not so within {deadline} s; last status: "
            + json.dumps(last.get("status", last), indent=1)
        )

    def wait_for_list(
        self,
        resource: str,
        selector: str,
        until: Callable[[list[Object]], bool],
        *,
        deadline: float,
    ) -> list[Object]:
        """The objects of `selector` as they were when `until` held for all of them together.

        An empty list is not looked at: for absence use wait_gone.
        """
        last: list[Object] = []
        for items in self._watch(resource, f"--selector={selector}", deadline=deadline):
            last = list(items.values())
            if until(last):
                return last
        names = [item["metadata"]["name"] for item in last]
        raise WaitTimeoutError(
            f"{resource} of {selector} in {self.namespace}: not so within {deadline} s; last: "
            f"{names} {json.dumps([item.get('status') for item in last], indent=1)}"
        )

    def wait_for_job(self, name: str, kind: str = "Succeeded", *, deadline: float) -> Object:
        """The FineTuneJob once its condition `kind` is True.

        Another terminal condition ends the wait at once with its reason and message, so that a
        failure is told by its cause and not by a time-out.
        """

        def until(job: Object) -> bool:
            for terminal in ("Succeeded", "Failed"):
                if terminal != kind and is_true(job, terminal):
                    found = condition(job, terminal)
                    raise AssertionError(
                        f"{name} is {terminal} while waiting for {kind}: "
                        f"{found.get('reason')}: {found.get('message')}"
                    )
            return is_true(job, kind)

        return self.wait_for("finetunejobs.finetune.dev", name, until, deadline=deadline)

    def logs(self, pod: str, container: str | None = None, *more: str) -> str:
        which = [f"--container={container}"] if container else ["--all-containers"]
        return self.run("logs", pod, *which, *more)

    def _scope(self) -> list[str]:
        where = ["--kubeconfig", str(self.kubeconfig)] if self.kubeconfig else []
        return where + (["--namespace", self.namespace] if self.namespace else [])

    def _watch(
        self, resource: str, selection: str, *, deadline: float
    ) -> Iterator[dict[str, Object]]:
        """All selected objects by name, again after each event, for `deadline` seconds."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:  # a watch that the server closes is opened again
            command = [
                "kubectl", *self._scope(), "get", resource, selection,
                "--watch", "--output-watch-events", "-o", "json",
            ]  # fmt: skip
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
                assert watching.stdout is not None
                events: queue.Queue[Object | None] = queue.Queue()
                reading = threading.Thread(target=_read, args=(watching.stdout, events))
                reading.start()
                try:
                    yield from _snapshots(watching, events, end)
                finally:
                    watching.kill()
                    reading.join()  # before its file is closed


def _snapshots(
    watching: subprocess.Popen[str], events: queue.Queue[Object | None], end: float
) -> Iterator[dict[str, Object]]:
    items: dict[str, Object] = {}
    while (left := end - time.monotonic()) > 0:
        try:
            event = events.get(timeout=left)
        except queue.Empty:
            return
        if event is None:  # kubectl ended
            if watching.wait() != 0:
                raise KubectlError(("get", "--watch"), "ended with an error, told above")
            return
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            items.pop(name, None)
        else:
            items[name] = event["object"]
        yield dict(items)


def _read(stream: IO[str], events: queue.Queue[Object | None]) -> None:
    """Some versions of kubectl print an event on one line, others as indented JSON."""
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        if line.rstrip().endswith("}"):
            with contextlib.suppress(json.JSONDecodeError):  # in the midst of an event
                events.put(json.loads("".join(lines)))
                lines.clear()
    events.put(None)


def counted(job: Object) -> tuple[int, int, int]:
    """Number of the current attempt, failures and disruptions."""
    attempts = job["status"]["attempts"]
    return attempts["current"], attempts["failures"], attempts["disruptions"]
