"""What the tables refuse the API server refuses, every cell, in their words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from finetune_trainer.combinations import EXPORTS, LOSS, REFUSALS, RUNTIME
from finetune_trainer.recipe import DatasetFormat
from finetune_trainer.rules import TASK_FORMATS, format_refused
from tests.cluster.kube import Kube, KubectlError, Object
from tests.cluster.test_admission import kube as kube  # noqa: PLC0414 - a fixture
from tests.cluster.test_admission import load, merge


def chosen(field: str, value: str) -> Object:
    """The change of a job that sets a field of spec."""
    change: Object | list[str] | str = [value] if field == EXPORTS else value
    for name in reversed(["spec", *field.split(".")]):
        change = {name: change}
    assert isinstance(change, dict)
    # Only there a loss is chosen.
    return merge(change, {"spec": {"task": "Preference"}}) if field == LOSS else change


def refused() -> Iterator[tuple[str, Object]]:
    """What is said, and the change of a job that it is said to."""
    for refusal in REFUSALS:
        for excluded in refusal.excluded:
            if RUNTIME not in (refusal.field, refusal.other):
                both = chosen(refusal.field, refusal.value), chosen(refusal.other, excluded)
                yield refusal.message(excluded), merge(*both)
    for task, formats in TASK_FORMATS.items():
        for other in DatasetFormat:
            if other not in (DatasetFormat.AUTO, *formats):
                change = merge(chosen("task", task), chosen("dataset.format", other))
                yield format_refused(task, other), change


def test_every_cell_that_the_tables_refuse_is_refused(kube: Kube) -> None:
    cells = list(refused())
    base = load("finetunejob.yaml")["base"]
    jobs = [
        merge(merge(base, change), {"metadata": {"name": f"cell-{number}"}})
        for number, (_, change) in enumerate(cells)
    ]
    together = {"apiVersion": "v1", "kind": "List", "items": jobs}
    with pytest.raises(KubectlError) as raised:
        kube.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(together), timeout=120)
    _, *parts = re.split(r'"cell-(\d+)" is invalid', raised.value.stderr)
    said = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))
    unsaid = [
        (message, said.get(number, "accepted"))
        for number, (message, _) in enumerate(cells)
        if message not in said.get(number, "")
    ]
    assert unsaid == []
    assert len(cells) > 100
