"""What a model answers by itself: how it is asked, measured and shown."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_trainer.data.examples import TokensExample
from finetune_trainer.engine import loss
from finetune_trainer.engine.attention import register_attention
from finetune_trainer.engine.generation import batches
from finetune_trainer.engine.precision import autocast
from finetune_trainer.engine.rows import make_row
from finetune_trainer.engine.world import World
from finetune_trainer.evaluate import Judge
from finetune_trainer.manifest import CompletionManifest
from finetune_trainer.methods import METHODS
from finetune_trainer.recipe import Evaluation, Metric, Precision
from finetune_trainer.report.scores import ScoresFile, ScoresOfModel, interval
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import METHOD_SETTINGS, TASK_DATA, train
from tests.trainer.recipes import recipe, workspace

CPU = torch.device("cpu")
PROMPTS = [np.arange(3, 3 + length) for length in (9, 2, 30, 17, 5)]


@dataclass(frozen=True)
class Part(World):
    """A process of several; what it would have added to the others' is kept."""

    given: list[list[float]] = field(default_factory=list)

    def sum(self, values: Sequence[float]) -> list[float]:
        self.given.append(list(values))
        return list(values)


def judge(model: Path, world: World) -> Judge:
    tokenizer = AutoTokenizer.from_pretrained(model)
    settings = Evaluation(max_new_tokens=12)
    return Judge(world, autocast(Precision.FP32, CPU), 64, tokenizer, settings)


def ours(model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(model, attn_implementation=register_attention())


def test_answers_in_batches_are_what_the_model_says_alone(tiny_model: Path) -> None:
    alone: Any = AutoModelForCausalLM.from_pretrained(tiny_model)
    one = judge(tiny_model, World(0, 1, CPU))
    model = ours(tiny_model)
    found = one.answers(model, PROMPTS)
    for prompt, text in zip(PROMPTS, found, strict=True):
        ids = torch.from_numpy(prompt)[None]
        said = alone.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=12,
            do_sample=False,
        )
        assert text == one.text(said[0, len(prompt) :].numpy())
    assert model.config._attn_implementation == "per_document"


def test_the_head_is_given_what_lies_side_by_side(tiny_model: Path) -> None:
    model = ours(tiny_model)
    head = model.get_output_embeddings()
    given: list[torch.Tensor] = []
    head.register_forward_hook(lambda _, inputs, __: given.append(inputs[0]))
    judge(tiny_model, World(0, 1, CPU)).answers(model, PROMPTS)
    # Of texts that lie apart torch would multiply each by a copy of the head's weights.
    assert {(each.shape[:2], each.is_contiguous()) for each in given} == {((len(PROMPTS), 1), True)}
    assert not head._forward_pre_hooks, "training computes without it"


def test_a_tuned_prompt_stands_before_the_question_not_before_its_padding(
    tiny_model: Path,
) -> None:
    made = recipe(method=METHOD_SETTINGS["PromptTuning"])
    model: Any = METHODS[made.method.type].apply(ours(tiny_model), made)
    one = judge(tiny_model, World(0, 1, CPU))
    together = one.answers(model, PROMPTS)
    assert together == [one.answers(model, [prompt])[0] for prompt in PROMPTS]
    tokens = np.concatenate([PROMPTS[0], np.zeros(12, dtype=np.int64)])
    for at in range(len(PROMPTS[0]), len(tokens)):
        row = make_row([TokensExample(tokens[: at + 1], np.arange(at + 1) == at)])
        with torch.no_grad():
            tokens[at] = int(loss._logits(model, row)[0].argmax())
    assert together[0] == one.text(tokens[len(PROMPTS[0]) :])


def test_processes_share_the_questions(tiny_model: Path) -> None:
    model = ours(tiny_model)
    whole = judge(tiny_model, World(0, 1, CPU))
    parts = [Part(rank, 2, CPU) for rank in range(2)]
    expected = whole.answers(model, PROMPTS * 20)
    for part in parts:
        judge(tiny_model, part).answers(model, PROMPTS * 20)
    shares = [np.array(part.given[0]) for part in parts]
    assert all(share.any() for share in shares)
    tokens = sum(shares).reshape(len(expected), -1)
    assert expected == [whole.text(row[row > 0].astype(int) - 1) for row in tokens]


@given(
    lengths=st.lists(st.integers(1, 300), max_size=200),
    more=st.integers(1, 100),
    capacity=st.integers(1, 5000),
)
def test_batches_hold_every_prompt_once_and_no_more_than_they_may(
    lengths: list[int], more: int, capacity: int
) -> None:
    made = batches(lengths, more, capacity)
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        longest = max(lengths[index] for index in batch) + more
        assert len(batch) == 1 or len(batch) * longest <= capacity


@pytest.fixture(scope="module")
def answered(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("answered")
    made = workspace(
        root,
        tiny_model,
        TASK_DATA["QuestionAnswering"],
        task="QuestionAnswering",
        dataset={"validation": [{"storageUri": f"file://{root}/inputs/train-0"}]},
        method=METHOD_SETTINGS["Full"],
        training={"maxSteps": 100},
        evaluation={
            "metrics": ["F1", "ExactMatch"],
            "maxNewTokens": 8,
            "generatedExamples": 12,
            "shownExamples": 3,
        },
    )
    train(made, Workspace(root), attempt=1)
    return Workspace(root)


def test_metrics_of_answers_stand_beside_the_loss(answered: Workspace) -> None:
    manifest = CompletionManifest.model_validate_json(answered.completion.read_bytes())
    evaluation = manifest.evaluation
    assert evaluation is not None
    assert list(evaluation.tuned) == ["Loss", "F1", "ExactMatch"]
    assert float(evaluation.base["ExactMatch"]) == 0
    assert float(evaluation.tuned["ExactMatch"]) >= 0.25
    scores = ScoresFile.model_validate_json(answered.evaluation.read_bytes())
    tuned = scores.metrics[Metric.EXACT_MATCH].tuned
    assert len(tuned.rows) == 12
    found = interval(Metric.EXACT_MATCH, tuned)
    assert f"{found.value:.4f}" == evaluation.tuned["ExactMatch"]
    assert found.low < found.high


def test_answers_stand_side_by_side_in_the_report(answered: Workspace) -> None:
    scores = ScoresFile.model_validate_json(answered.evaluation.read_bytes())
    (kept,) = answered.base_scores.iterdir()
    before = ScoresOfModel.model_validate_json(kept.read_bytes())
    assert [each.base for each in scores.answers] == [each.answer for each in before.answers]
    assert len(scores.answers) == 3
    first = scores.answers[0]
    assert "What comes after 0?" in first.prompt
    assert first.reference == "1"
    assert first.tuned.strip("1") == ""
    page = (answered.output / "model" / "report.html").read_text()
    assert first.prompt.splitlines()[1] in page
