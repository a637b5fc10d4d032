"""Following an object of the cluster until it is as it should be."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from shell import DemoError, Kubectl, Object, objects
from terminal import Terminal

REFRESH_SECONDS = 1.0
"""The time shown moves on even when nothing else does."""


def condition(item: Object, kind: str) -> Object:
    """The condition of that type, or an empty mapping."""
    found = item.get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})


def is_true(item: Object, kind: str) -> bool:
    return condition(item, kind).get("status") == "True"


def describe(job: Object) -> str:
    """A FineTuneJob in one line."""
    status = job.get("status", {})
    progress = status.get("progress", {})
    parts = [status.get("phase", "Pending")]
    if status.get("phase") == "Training" and progress.get("steps"):
        parts.append(f"step {progress['steps']}")
        parts += [f"loss {progress['loss']}"] if progress.get("loss") else []
        parts += (
            [f"{progress['tokensPerSecond']} tokens/s"] if progress.get("tokensPerSecond") else []
        )
        parts += [f"{progress['remaining']} left"] if progress.get("remaining") else []
    elif message := condition(job, "Reconciling").get("message"):
        parts.append(message)
    return " · ".join(parts)


def finished(job: Object) -> bool:
    """Whether it has succeeded. Raises DemoError when it never will by itself."""
    for kind in ("Failed", "Stalled"):
        if is_true(job, kind):
            found = condition(job, kind)
            raise DemoError(f"the job is {kind}: {found.get('reason')}: {found.get('message')}")
    return is_true(job, "Succeeded")


def answering(workspace: Object) -> bool:
    """Whether every revision of an InferenceWorkspace answers."""
    generation = workspace["metadata"]["generation"]
    return workspace.get("status", {}).get("observedGeneration") == generation and is_true(
        workspace, "Ready"
    )


def describe_workspace(workspace: Object) -> str:
    """An InferenceWorkspace in one line."""
    return condition(workspace, "Ready").get("message") or "starting"


def follow(
    kubectl: Kubectl,
    resource: str,
    name: str,
    *,
    until: Callable[[Object], bool],
    line: Callable[[Object], str],
    terminal: Terminal,
    minutes: float,
) -> Object:
    """The object as it is once `until` holds; shows `line` of it and the time meanwhile."""
    started = time.monotonic()
    watch = kubectl.follow(resource, name)
    states: queue.Queue[Object | None] = queue.Queue()

    def read() -> None:
        for state in objects(watch):
            states.put(state)
        states.put(None)

    threading.Thread(target=read, daemon=True).start()
    last: Object = {}
    try:
        while (elapsed := time.monotonic() - started) < minutes * 60:
            try:
                state = states.get(timeout=REFRESH_SECONDS)
            except queue.Empty:
                state = last
            if state is None:
                raise DemoError(f"the watch of {resource}/{name} ended: is the cluster still up?")
            last = state
            if last:
                if until(last):
                    return last
                terminal.live(elapsed, line(last))
    finally:
        watch.kill()
    raise DemoError(
        f"{resource}/{name} is not there after {minutes:.0f} minutes; at last: {line(last)}"
    )
