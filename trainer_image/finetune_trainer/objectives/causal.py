"""To go on with a text: documents of tokens, several in a row, each attending only to itself."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import torch

from finetune_trainer.data.examples import TokensExample, evenly
from finetune_trainer.engine.loss import summed_loss, token_losses
from finetune_trainer.engine.rows import Row, make_row
from finetune_trainer.metrics import Rows
from finetune_trainer.objectives.general import general_examples
from finetune_trainer.recipe import Metric
from finetune_trainer.report.answers import Answer

if TYPE_CHECKING:
    from finetune_trainer.evaluate import Judge


class CausalObjective:
    """The mean cross-entropy of the supervised tokens."""

    def make_row(self, examples: Sequence[TokensExample]) -> Row:
        return make_row(examples)

    def summed_loss(self, model: torch.nn.Module, row: Row) -> torch.Tensor:
        return summed_loss(model, row)

    def measure(
        self,
        model: torch.nn.Module,
        examples: Sequence[TokensExample],
        metrics: Collection[Metric],
        judge: "Judge",
    ) -> dict[Metric, Rows]:
        def losses(documents: Sequence[TokensExample]) -> list[tuple[float, ...]]:
            row = make_row(documents).to(judge.world.device)
            counts = [document.targets for document in documents]
            parts = torch.split(token_losses(model, row), counts)
            sums = torch.stack([part.sum() for part in parts]).tolist()
            return list(zip(sums, map(float, counts), strict=True))

        found = {Metric.LOSS: judge.score(model, examples, losses, columns=2)}
        if Metric.GENERAL_LOSS in metrics:
            general = general_examples(judge.tokenizer, judge.max_length)
            found[Metric.GENERAL_LOSS] = judge.score(model, general, losses, columns=2)
        return found

    def answers(
        self, model: torch.nn.Module, examples: Sequence[TokensExample], judge: "Judge"
    ) -> list[Answer]:
        wanted = evenly(len(examples), judge.settings.shown_examples)
        pairs = [examples[index].asked() for index in wanted]
        said = judge.answers(model, [prompt for prompt, _ in pairs]) if pairs else []
        return [
            Answer(prompt=judge.text(prompt), reference=judge.text(reference), answer=text)
            for (prompt, reference), text in zip(pairs, said, strict=True)
        ]
