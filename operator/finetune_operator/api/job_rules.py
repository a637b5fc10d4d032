"""Rules of a job's spec that are tables of the trainer: which choices go together."""

from collections.abc import Iterator

from finetune_operator.api.cel import Rule, none_in, none_of
from finetune_operator.api.dataset import Columns
from finetune_trainer.combinations import (
    CLASS_WEIGHTS,
    DEVICE,
    EXPORTS,
    FORMAT,
    INITIALIZATION,
    LOSS,
    METHOD,
    OFFLOAD,
    OPTIMIZER,
    PUBLISH,
    QUANTIZATION,
    REFUSALS,
    STRATEGY,
    TASK,
)
from finetune_trainer.recipe import DatasetFormat
from finetune_trainer.rules import (
    TASK_FORMATS,
    TASK_METRICS,
    format_refused,
    role_refused,
    tasks_with,
)


def task_and_format() -> Rule:
    """The formats that a task cannot be learned from; the table is the trainer's."""
    return none_of(
        "(self.task + ' ' + self.dataset.format)",
        {
            f"{task} {refused}": format_refused(task, refused)
            for task, formats in TASK_FORMATS.items()
            for refused in DatasetFormat
            if refused not in (DatasetFormat.AUTO, *formats)
        },
        "not every task can be learned from every dataset.format",
        field=".dataset.format",
    )


def task_and_columns() -> Iterator[Rule]:
    """A rule for each role that not every task has."""
    for name, field in Columns.model_fields.items():
        role = field.alias or name
        tasks = ", ".join(f"'{task}'" for task in tasks_with(role))
        yield Rule(
            "!has(self.dataset.columns)"
            f" || !has(self.dataset.columns.{role}) || self.task in [{tasks}]",
            role_refused(role),
            field=f".dataset.columns.{role}",
        )


_METRIC_FIELDS = {
    "metrics": "!has(self.evaluation.metrics) || self.evaluation.metrics.all(each, {})",
    "bestMetric": "[self.evaluation.bestMetric].all(each, {})",
    "gates": "!has(self.evaluation.gates)"
    " || self.evaluation.gates.map(gate, gate.metric).all(each, {})",
}
"""Where metrics are named, and CEL that says that it is so of each."""


def task_and_metrics() -> Iterator[Rule]:
    """A rule for each place where metrics are named."""
    tables = {
        task: f"[{', '.join(repr(metric.value) for metric in metrics)}]"
        for task, metrics in TASK_METRICS.items()
    }
    of_the_task = ", ".join(f"'{task}': {metrics}" for task, metrics in tables.items())
    choices = ", ".join(f"'{task}': '{', '.join(each)}'" for task, each in TASK_METRICS.items())
    for field, of_each in _METRIC_FIELDS.items():
        yield Rule(
            of_each.format(f"each in {{{of_the_task}}}[self.task]"),
            f"evaluation.{field} can name only what can be measured of the task",
            f".evaluation.{field}",
            f"'evaluation.{field} can name of task ' + self.task + ' only what can be measured of"
            f" it: choose from ' + {{{choices}}}[self.task]",
        )


_CHOSEN = {
    METHOD: "self.method.type",
    QUANTIZATION: "self.quantization.type",
    INITIALIZATION: "(has(self.method.lora) ? self.method.lora.initialization : '')",
    LOSS: (
        "(self.task != 'Preference' ? '' : has(self.preference) ? self.preference.loss : 'DPO')"
    ),
    FORMAT: "self.dataset.format",
    PUBLISH: "self.publish.type",
    TASK: "self.task",
    EXPORTS: "self.output.exports",
    CLASS_WEIGHTS: "self.training.classWeights",
    STRATEGY: "self.distribution.strategy",
    OFFLOAD: "self.distribution.offload",
    DEVICE: "self.compute.device",
    OPTIMIZER: "self.training.optimizer",
}
"""What is chosen of a field of spec, in CEL; of exports a list."""


def combinations() -> Iterator[Rule]:
    """A rule for each two fields of which the trainer's table refuses some values together."""
    tables: dict[tuple[str, str], dict[str, str]] = {}
    for refusal in REFUSALS:
        if refusal.field in _CHOSEN:
            table = tables.setdefault((refusal.field, refusal.other), {})
            for excluded in refusal.excluded:
                table[f"{refusal.value} {excluded}"] = refusal.message(excluded)
    for (field, other), table in tables.items():
        chosen, beside = _CHOSEN[field], _CHOSEN[other]
        about = f"not every {field} can be combined with every {other}"
        if field == EXPORTS:
            yield none_in(chosen, beside, table, about, field=f".{other}")
        else:
            yield none_of(f"({chosen} + ' ' + {beside})", table, about, field=f".{other}")
