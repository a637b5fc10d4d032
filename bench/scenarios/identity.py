"""What decides a result, as a digest; and what it was measured with."""

import ast
import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import finetune_trainer
from bench.measured_with import commit, processor
from bench.scenarios.result import Provenance
from finetune_trainer.recipe import Recipe

_TRAINER = Path(finetune_trainer.__file__).parent
_CODE = (
    "allocator.py",
    "answer_metrics.py",
    "computing.py",
    "data",
    "engine",
    "evaluate.py",
    "heads.py",
    "methods",
    "metrics.py",
    "objectives",
    "onednn.py",
    "products.py",
    "tasks",
    "threads.py",
)
"""Of the trainer: what can change a number, or how long it takes. Serving, fetching, publishing and
reports cannot."""
_LIBRARIES = ("torch", "transformers", "peft", "deepspeed", "bitsandbytes")


def digest_of_files(paths: Iterable[Path]) -> str:
    """sha256 over names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name}\0{content}\n".encode())
    return digest.hexdigest()


@cache
def digest_of_folder(folder: Path) -> str:
    """Of all files in it."""
    return digest_of_files(sorted(path for path in folder.rglob("*") if path.is_file()))


@cache
def digest_of_code() -> str:
    """Of what trains and measures, and of the locked libraries' versions."""
    code = hashlib.sha256(json.dumps(_versions()).encode())
    for name in _CODE:
        path = _TRAINER / name
        for each in [path] if path.is_file() else sorted(path.rglob("*.py")):
            code.update(f"{each.name}\0{meaning(each)}\n".encode())
    return code.hexdigest()


def meaning(path: Path) -> str:
    """A module without its comments and docstrings, which decide nothing."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            found = getattr(node, name, None)
            if isinstance(found, list):
                setattr(node, name, [each for each in found if not _is_text(each)])
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def digest_of_run(recipe: Recipe, model: Path, data: Path, extra: Iterable[str]) -> str:
    """The same for runs that give the same numbers, wherever their inputs lie.

    Args:
        extra: whatever else decides, such as the code of the baselines.
    """
    chosen = recipe.model_dump(mode="json", exclude={"job", "model", "checkpoint"})
    for role in ("train", "validation"):
        chosen["dataset"][role] = len(chosen["dataset"][role])
    parts = [
        json.dumps(chosen, sort_keys=True),
        digest_of_code(),
        digest_of_folder(model),
        digest_of_folder(data),
        *extra,
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def provenance(threads: int, at_once: int) -> Provenance:
    """Of a run that has just ended."""
    return Provenance(
        commit=commit(),
        versions=_versions(),
        processor=processor(),
        cores=len(os.sched_getaffinity(0)),
        threads=threads,
        at_once=at_once,
        load=os.getloadavg()[0],
    )


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}
