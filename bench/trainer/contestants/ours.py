"""This trainer: one process, as `python -m finetune_trainer train` runs it."""

from pathlib import Path

from bench.trainer import task
from bench.trainer.measure import Measured, PeakMemory
from bench.trainer.prepared import prepare
from finetune_trainer.base_model import open_base_model
from finetune_trainer.data.dataset import load_dataset
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.engine.run import run as train
from finetune_trainer.engine.stop import StopRequest
from finetune_trainer.engine.world import join
from finetune_trainer.manifest import Progress, Stage


def run(assignment: task.Assignment, held_out: bool = False) -> Measured:
    recipe, workspace = prepare(assignment, held_out)
    tokenizer = open_base_model(assignment.model, assignment.row).tokenizer()
    examples = load_dataset(recipe, workspace, tokenizer).train
    tokens = sum(examples.lengths)
    reporter, memory = _Newest(), PeakMemory(assignment.device)
    with memory.watched():
        train(
            recipe,
            workspace,
            attempt=1,
            world=join(recipe),
            stop=StopRequest(),
            reporter=reporter,
        )
    newest = reporter.training
    if newest is None or not newest.tokens_per_second or newest.loss is None:
        raise RuntimeError("no step was reported")
    return Measured(
        contestant="ours",
        conversations=len(examples.examples),
        # The rate is over all tokens since training began.
        seconds=tokens / newest.tokens_per_second,
        peak_bytes=memory.bytes,
        tokens=tokens,
        computed=tokens,
        last_loss=newest.loss,
        supervised=int(sum(examples.weights)),
    )


class _Newest(ProgressReporter):
    """Keeps the last report of the training stage."""

    def __init__(self) -> None:
        super().__init__("", Path())
        self.training: Progress | None = None

    def report(self, progress: Progress) -> None:
        if progress.stage is Stage.TRAINING:
            self.training = progress
