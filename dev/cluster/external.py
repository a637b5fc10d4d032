"""Clusters of the user's own: the same commands, with a context that was asked for by name."""

import json
import os
import shutil
import subprocess
from pathlib import Path


class RefusedError(Exception):
    """What is wrong and what to do, in one line."""


def context() -> str:
    """The context to use; never the current one, so that nobody installs into the wrong cluster."""
    if os.environ["CLUSTER"] == "kind":
        return f"kind-{os.environ.get('KIND_NAME') or 'kind'}"
    name = os.environ.get("CLUSTER_CONTEXT", "")
    if not name:
        raise RefusedError(
            "CLUSTER=external needs CLUSTER_CONTEXT, the name of a context of your kubeconfig"
        )
    return name


def run(arguments: list[str], cache: Path) -> None:
    """Carry out one verb; `exec` does not return."""
    require("kubectl")
    kubeconfig = only(context(), cache)
    environment = os.environ | {"KUBECONFIG": str(kubeconfig)}
    match arguments:
        case ["exec", "--", *command] if command:
            require(command[0])
            os.execvpe(command[0], command, environment)  # noqa: S606
        case ["up"] | ["status"]:
            answer = kubectl("version", "--request-timeout=10s", f"--kubeconfig={kubeconfig}")
            last = (answer.stderr or answer.stdout).strip().splitlines()[-1]
            if answer.returncode:
                raise RefusedError(f"context {context()!r} does not answer: {last}")
            print(f"context {context()!r} answers: {last}")
        case ["status", "--json"]:
            report = {
                "running": True,
                "kubeconfig": str(kubeconfig),
                "context": context(),
                "registry": os.environ.get("IMAGE_REGISTRY", ""),
            }
            print(json.dumps(report, indent=2))
        case ["down"]:
            print(f"context {context()!r} is yours; it stays as it is")
        case _:
            raise RefusedError(f"{' '.join(arguments)} is for the cluster of CLUSTER=dev only")


def require(program: str) -> None:
    """Refuse, in one line, to run what is not there."""
    if not shutil.which(program):
        raise RefusedError(f"{program} is missing: install it, or use CLUSTER=dev")


def kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the user's kubectl."""
    return subprocess.run(
        ["kubectl", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def only(name: str, cache: Path) -> Path:
    """Write a kubeconfig that holds this one context, readable by its owner alone."""
    answer = kubectl("config", "view", "--minify", "--flatten", "--context", name)
    if answer.returncode:
        known = kubectl("config", "get-contexts", "--output=name").stdout.split()
        there = f"there are: {', '.join(known)}" if known else "it has none"
        raise RefusedError(f"no context {name!r} in your kubeconfig; {there}")
    path = cache / "contexts" / f"{name.replace('/', '_')}.kubeconfig"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(answer.stdout)
    return path
