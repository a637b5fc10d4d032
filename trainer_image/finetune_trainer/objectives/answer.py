"""To answer: as to go on with a text, and judged by what the model says itself."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from finetune_trainer.answer_metrics import rows
from finetune_trainer.data.examples import AnsweredExample, TokensExample, evenly
from finetune_trainer.metrics import Rows
from finetune_trainer.objectives.causal import CausalObjective
from finetune_trainer.recipe import Metric

if TYPE_CHECKING:
    from finetune_trainer.evaluate import Judge


class AnswerObjective(CausalObjective):
    """The metrics of answers are those of evaluation.generatedExamples examples."""

    def measure(
        self,
        model: torch.nn.Module,
        examples: Sequence[TokensExample],
        metrics: Collection[Metric],
        judge: "Judge",
    ) -> dict[Metric, Rows]:
        found = super().measure(model, examples, metrics, judge)
        wanted = [metric for metric in dict.fromkeys(metrics) if metric not in found]
        if not wanted:
            return found
        asked = [
            cast("AnsweredExample", examples[index])
            for index in evenly(len(examples), judge.settings.generated_examples)
        ]
        said = judge.answers(model, [example.asked()[0] for example in asked])
        for metric in wanted:
            pairs = zip(said, asked, strict=True)
            found[metric] = np.array([rows(metric, text, each.answers) for text, each in pairs])
        return found
