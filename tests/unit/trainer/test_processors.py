"""Limits of cgroups, in the words of both versions."""

import pytest

from finetune_trainer.processors import parse_v1, parse_v2, usable


@pytest.mark.parametrize(
    ("text", "limit"), [("max 100000\n", None), ("150000 100000\n", 1.5), ("400000 100000", 4.0)]
)
def test_version_2(text: str, limit: float | None) -> None:
    assert parse_v2(text) == limit


@pytest.mark.parametrize(
    ("quota", "period", "limit"), [("-1\n", "100000\n", None), ("50000\n", "100000\n", 0.5)]
)
def test_version_1(quota: str, period: str, limit: float | None) -> None:
    assert parse_v1(quota, period) == limit


def test_here() -> None:
    assert usable() >= 1
