"""report.html, from what is known when training has ended."""

import logging
from pathlib import Path

from finetune_trainer.data.dataset import Dataset
from finetune_trainer.manifest import Best, Evaluation
from finetune_trainer.recipe import Recipe
from finetune_trainer.report.memory import Memory
from finetune_trainer.report.metrics_log import MetricsLog
from finetune_trainer.report.page import NAME, Data, Report, render
from finetune_trainer.report.scores import ScoresFile

log = logging.getLogger(__name__)


def write_report(
    folder: Path,
    *,
    recipe: Recipe,
    dataset: Dataset,
    evaluation: Evaluation | None,
    scores: ScoresFile | None,
    metrics: MetricsLog,
    steps: int,
    planned: int,
    best: Best | None,
    attempt: int,
    divergence: float | None,
    memory: Memory,
) -> None:
    """Write it into the artifact's folder, so that it is published as well."""
    report = Report(
        recipe=recipe,
        points=metrics.read(),
        evaluation=evaluation,
        scores=scores,
        data=_data(dataset),
        steps=steps,
        planned=planned,
        best=best,
        attempt=attempt,
        divergence=divergence,
        memory=memory,
    )
    try:
        page = render(report)
    except Exception:
        # Drawing is another library's work, and hours of training are not lost for a picture.
        log.exception("%s could not be drawn; the result is complete without it", NAME)
        return
    (folder / NAME).write_text(page, encoding="utf-8")


def _data(dataset: Dataset) -> Data:
    train, held_out = dataset.train, dataset.validation
    return Data(
        format=dataset.format.value,
        digest=dataset.digest,
        train_examples=len(train.examples),
        validation_examples=len(held_out.examples) if held_out else 0,
        tokens=sum(train.lengths),
        learned_tokens=train.targets,
        duplicates=train.duplicates,
        leaks=dataset.leaks,
        lengths=train.statistics(),
    )
