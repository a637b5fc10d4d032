"""Jobs that the tables refuse, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator

from finetune_trainer.combinations import EXPORTS, LOSS, REFUSALS, RUNTIME
from finetune_trainer.recipe import DatasetFormat
from finetune_trainer.rules import TASK_FORMATS, format_refused
from tests.cluster.kube import Object, merge


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
