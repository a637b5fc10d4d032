"""serve.json, and who answers for the workspace."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.serve.config import ServeConfig, read_config
from finetune_trainer.serve.traffic import Traffic

CONFIG: dict[str, Any] = {
    "name": "support",
    "baseModel": {"name": "base", "path": "/models/base"},
    "revisions": [
        {"name": "support-0001", "path": "/adapters/support-0001"},
        {"name": "support-0002", "path": None},
    ],
    "traffic": [
        {"revision": "support-0001", "percent": 75},
        {"revision": "support-0002", "percent": 25},
    ],
    "upstream": None,
}


def config(**changes: object) -> ServeConfig:
    return ServeConfig.model_validate(CONFIG | changes)


def test_shares_are_kept() -> None:
    traffic = Traffic(config(), random.Random(0))
    answered = Counter(traffic.resolve("support") for _ in range(10_000))
    assert set(answered) == {"support-0001", "support-0002"}
    assert 7_300 < answered["support-0001"] < 7_700  # 4.6 standard deviations of fair shares


class Draws(random.Random):
    """Chance that says what it is told."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self._values = list(values)

    def random(self) -> float:
        return self._values.pop(0)


def test_the_borders_between_shares() -> None:
    traffic = Traffic(config(), Draws(0.0, 0.7499, 0.75, 0.9999))
    answered = [traffic.resolve("support") for _ in range(4)]
    assert answered == ["support-0001", "support-0001", "support-0002", "support-0002"]


def test_a_share_of_nothing_gets_nothing() -> None:
    routes = [
        {"revision": "support-0001", "percent": 0},
        {"revision": "support-0002", "percent": 100},
    ]
    traffic = Traffic(config(traffic=routes), Draws(0.0, 0.9999))
    assert [traffic.resolve("support") for _ in range(2)] == ["support-0002"] * 2


def test_each_model_answers_under_its_own_name() -> None:
    traffic = Traffic(config(), Draws())
    assert [traffic.resolve(name) for name in traffic.names[1:]] == traffic.names[1:]
    assert traffic.names == ["support", "support-0001", "support-0002", "base"]
    assert traffic.resolve("somebody") is None


def test_without_traffic_the_base_answers() -> None:
    traffic = Traffic(config(traffic=[]), Draws(0.5))
    assert traffic.resolve("support") == "base"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"traffic": [{"revision": "support-0001", "percent": 99}]}, "sum to 100"),
        ({"traffic": [{"revision": "gone", "percent": 100}]}, "unknown revisions: gone"),
        ({"revisions": [{"name": "base", "path": None}], "traffic": []}, "must differ: base"),
        ({"name": "support-0001"}, "must differ: support-0001"),
        ({"name": "a.b"}, "name"),
        ({"unheardOf": 1}, "unheardOf"),
        ({"queueLimit": 0}, "queueLimit"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = tmp_path / "serve.json"
    path.write_text(json.dumps(CONFIG | changes))
    with pytest.raises(ConfigurationError, match=words):
        read_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"serve\.json"):
        read_config(tmp_path / "serve.json")
