"""This trainer, with as many conversations held out: their losses, for what a precision costs."""

from bench.trainer import task
from bench.trainer.contestants import ours
from bench.trainer.measure import Measured
from finetune_trainer.recipe import Metric
from finetune_trainer.report.scores import ScoresFile
from finetune_trainer.workspace import Workspace


def run(assignment: task.Assignment) -> Measured:
    measured = ours.run(assignment, held_out=True)
    file = Workspace(assignment.work).evaluation
    scores = ScoresFile.model_validate_json(file.read_bytes()).metrics[Metric.LOSS]
    return measured.model_copy(
        update={"contestant": "held_out", "held_out": scores.tuned.rows, "before": scores.base.rows}
    )
