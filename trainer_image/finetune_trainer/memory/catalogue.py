"""What people tune, so that it can be sized before it is fetched: catalogue.yaml."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from finetune_trainer.memory.architecture import Architecture
from finetune_trainer.memory.families import architecture_from_config


@dataclass(frozen=True)
class Known:
    """Repositories of one architecture."""

    repositories: tuple[str, ...]
    parameters: int
    """As published."""
    architecture: Architecture


def architecture_of(storage_uri: str) -> Architecture | None:
    """Of a model that the catalogue knows by its name; None for all others."""
    known = _by_name().get(storage_uri.removeprefix("hf://").lower())
    return known.architecture if known else None


@cache
def catalogue() -> tuple[Known, ...]:
    text = (Path(__file__).parent / "catalogue.yaml").read_text(encoding="utf-8")
    return tuple(
        Known(
            repositories=tuple(each["repositories"]),
            parameters=each["parameters"],
            architecture=architecture_from_config(each["config"]),
        )
        for each in yaml.safe_load(text)["models"]
    )


@cache
def _by_name() -> dict[str, Known]:
    return {name.lower(): known for known in catalogue() for name in known.repositories}
