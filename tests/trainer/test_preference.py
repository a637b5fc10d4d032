"""DPO and KTO: the loss is TRL's, and the log-probabilities at the start are computed once."""

import copy
import json
import math
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from finetune_trainer.data.compared import ComparedExample
from finetune_trainer.data.examples import TokensExample
from finetune_trainer.engine.world import World
from finetune_trainer.evaluate import Judge
from finetune_trainer.metrics import value
from finetune_trainer.objectives import objective_of
from finetune_trainer.objectives.kto import KTOObjective
from finetune_trainer.recipe import Metric, Recipe
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import train as train_here
from tests.trainer.processes import train
from tests.trainer.recipes import PAIRS, recipe, workspace
from tests.trainer.test_methods import disturb, load
from tests.trainer.test_packing_gradients import distance
from tests.trainer.test_resume import at_step, digest

EXAMPLE = Path(__file__).parents[2] / "examples" / "preference" / "data"
CPU = torch.device("cpu")
ALONE = World(rank=0, size=1, device=CPU)


def preference(loss: str, **settings: Any) -> dict[str, Any]:
    return {"task": "Preference", "preference": {"loss": loss, "beta": 0.3, **settings}}


def examples() -> list[ComparedExample]:
    random = np.random.default_rng(3)

    def document(prompt: int, reply: int) -> TokensExample:
        supervised = np.arange(prompt + reply) >= prompt
        return TokensExample(random.integers(0, 250, prompt + reply), supervised)

    made = []
    for prompt, first, second in ((9, 12, 3), (4, 1, 20), (15, 7, 7), (3, 5, 9)):
        one, other = document(prompt, first), document(prompt, second)
        other.ids[:prompt] = one.ids[:prompt]
        made.append(ComparedExample((one, other), desirable=prompt % 2 == 0))
    return made


def judge(made: Recipe) -> Judge:
    tokenizer: Any = None
    off = torch.autocast("cpu", enabled=False)
    return Judge(ALONE, off, made.training.max_length, tokenizer, made.evaluation)


def referenced(task: Any, start: torch.nn.Module, made: Recipe) -> list[Any]:
    found = task.log_probabilities(start, examples(), judge(made))
    return list(task.with_references(examples(), found))


def split(document: TokensExample) -> tuple[list[int], list[int]]:
    """Tokens of the prompt and of the reply."""
    at = int(document.supervised.argmax())
    return document.ids[:at].tolist(), document.ids[at:].tolist()


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name.replace(".default", ""): parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def ours(task: Any, model: Any, known: list[ComparedExample], rows: list[list[int]]) -> Any:
    model.zero_grad()
    made = [task.make_row([known[index] for index in row]) for row in rows]
    if isinstance(task, KTOObjective):
        made = task.before_step(model, made, ALONE)
    loss = torch.stack([task.summed_loss(model, row) / len(known) for row in made]).sum()
    torch.autograd.backward(loss)
    return float(loss.detach()), gradients(model)


def theirs(trainer: Any, inputs: list[dict[str, Any]]) -> Any:
    """Of one batch; the reference is given, so that the model itself is the only one."""
    batch = trainer.data_collator(inputs)
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, batch, return_outputs=False)
    loss.backward()
    return float(loss.detach()), gradients(trainer.model)


def trl(trainer: Any, config: Any, model: Any, tmp_path: Path, rows: Any, **settings: Any) -> Any:
    arguments = config(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        beta=0.3,
        max_length=128,
        **settings,
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(model.name_or_path)
    made = trainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    made.precompute_ref_logps = True
    return made


# TRL's and PEFT's own.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
LORA = {"method": {"lora": {"rank": 4, "alpha": 8}}}


@pytest.mark.parametrize("rows", [[[0, 1, 2, 3]], [[2], [0, 3], [1]]], ids=["one row", "three"])
def test_loss_and_gradients_of_dpo_are_those_of_trl(
    tiny_model: Path, tmp_path: Path, rows: list[list[int]]
) -> None:
    made = recipe(**preference("DPO"), **LORA)
    model = load(tiny_model, made)
    task = objective_of(made)
    known = referenced(task, model, made)
    disturb(model)
    loss, found = ours(task, model, known, rows)

    peer = trl(DPOTrainer, DPOConfig, plain(tiny_model, model), tmp_path, PAIRS[:2])
    expected, gradient = theirs(
        peer,
        [
            {
                "prompt_ids": split(each.documents[0])[0],
                "chosen_ids": split(each.documents[0])[1],
                "rejected_ids": split(each.documents[1])[1],
                "ref_chosen_logps": each.reference[0],
                "ref_rejected_logps": each.reference[1],
            }
            for each in known
            if each.reference
        ],
    )
    assert loss == pytest.approx(expected, rel=1e-5)
    assert loss != pytest.approx(math.log(2), rel=1e-2)
    assert distance(found, gradient) <= 1e-5


@pytest.mark.parametrize("moved", [0.0, 2.0])
@pytest.mark.parametrize("rows", [[[0, 1, 2, 3]], [[2], [0, 3], [1]]], ids=["one row", "three"])
def test_loss_and_gradients_of_kto_are_those_of_trl(
    tiny_model: Path, tmp_path: Path, rows: list[list[int]], moved: float
) -> None:
    weights = {"desirableWeight": 1.5, "undesirableWeight": 0.5}
    made = recipe(**preference("KTO", **weights), **LORA)
    model = load(tiny_model, made)
    task = objective_of(made)
    known = referenced(task, model, made)
    disturb(model)
    if moved:  # all that does not belong to the prompts has become likelier
        now = task.log_probabilities(model, known, judge(made))[:, 1] - moved
        pairs = zip(known, now, strict=True)
        known = [replace(each, reference=(each.reference[0], at)) for each, at in pairs]
    loss, found = ours(task, model, known, rows)

    judged = [
        {"prompt": each["prompt"], "completion": each[word], "label": word == "chosen"}
        for each in PAIRS[:2]
        for word in ("chosen", "rejected")
    ]
    settings = {"desirable_weight": 1.5, "undesirable_weight": 0.5}
    settings |= {"per_device_train_batch_size": 4}
    peer = trl(KTOTrainer, KTOConfig, plain(tiny_model, model), tmp_path, judged, **settings)
    expected, gradient = theirs(
        peer,
        [
            {
                "prompt_ids": split(each.documents[0])[0],
                "completion_ids": split(each.documents[0])[1],
                "KL_completion_ids": split(each.documents[1])[1],
                "label": each.desirable,
                "ref_logps": each.reference[0],
                "ref_KL_logps": each.reference[1],
            }
            for each in known
            if each.reference
        ],
    )
    assert loss == pytest.approx(expected, rel=1e-5)
    assert distance(found, gradient) <= 1e-5


def plain(base: Path, model: Any) -> Any:
    """The same adapter on the same weights, with transformers' own attention."""
    bare = AutoModelForCausalLM.from_pretrained(base)
    made: Any = get_peft_model(bare, copy.deepcopy(model.peft_config["default"]))
    made.load_state_dict(
        {name: each for name, each in model.named_parameters() if each.requires_grad}, strict=False
    )
    return made


def trained(root: Path, *, attempt: int = 1, **arguments: Any) -> Any:
    (ended,) = train(root, attempt=attempt, **arguments)
    return ended


def test_a_killed_run_ends_as_an_undisturbed_one_and_asks_the_reference_once(
    tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        changes = {"dataset": {"validationFraction": 0.25}} | preference("DPO")
        metrics = [Metric.LOSS, Metric.REWARD_ACCURACY, Metric.REWARD_MARGIN]
        workspace(tmp_path / name, tiny_model, PAIRS, **changes, evaluation={"metrics": metrics})
    whole = trained(tmp_path / "whole")
    assert "18 of 18 examples computed" in whole.log
    base, tuned = whole.trained.evaluation.base, whole.trained.evaluation.tuned
    assert (base["RewardAccuracy"], base["RewardMargin"]) == ("0.5000", "0.0000")
    assert float(base["Loss"]) == pytest.approx(math.log(2), abs=1e-4)
    assert float(tuned["RewardAccuracy"]) > 0.9
    assert float(tuned["RewardMargin"]) > 0.1

    killed = trained(tmp_path / "broken", prepare=[partial(at_step, 6, signal.SIGKILL)])
    assert killed.exit_code == -signal.SIGKILL
    resumed = trained(tmp_path / "broken", attempt=2)
    assert "0 of 18 examples computed" in resumed.log
    assert resumed.trained.evaluation == whole.trained.evaluation
    assert digest(tmp_path / "broken") == digest(tmp_path / "whole")


@pytest.mark.parametrize("loss", ["DPO", "KTO"])
def test_a_row_of_nothing_gives_gradients_of_zero(tiny_model: Path, loss: str) -> None:
    made = recipe(**preference(loss), **LORA)
    model = load(tiny_model, made)
    objective: Any = objective_of(made)
    torch.autograd.backward(objective.summed_loss(model, objective.make_row([])))
    found = gradients(model)
    assert found
    assert not any(each.any() for each in found.values())


@pytest.mark.parametrize("loss", ["DPO", "KTO"])
def test_where_training_starts_no_reply_is_preferred(tiny_model: Path, loss: str) -> None:
    made = recipe(**preference(loss), **LORA)
    model = load(tiny_model, made)
    objective: Any = objective_of(made)
    known = referenced(objective, model, made)
    found = objective.measure(model, known, list(Metric), judge(made))
    expected = {"Loss": math.log(2) if loss == "DPO" else 0.5, "RewardAccuracy": 0.5}
    expected |= {"RewardMargin": 0.0}
    assert {name: value(name, rows) for name, rows in found.items()} == pytest.approx(expected)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 90))
def test_a_pair_is_cut_to_its_length_and_no_further(first: int, second: int, length: int) -> None:
    documents = [TokensExample(np.arange(size), np.ones(size, bool)) for size in (first, second)]
    pair = ComparedExample((documents[0], documents[1]), desirable=True)
    cut = pair.cut(length)
    assert cut.length == min(pair.length, length)
    for before, after in zip(pair.documents, cut.documents, strict=True):
        assert after.length >= min(before.length, length // 2)


def test_the_example_is_learned_from(tiny_model: Path, tmp_path: Path) -> None:
    train_lines, held_out = (
        [json.loads(line) for line in (EXAMPLE / name).read_text().splitlines()]
        for name in ("train.jsonl", "validation.jsonl")
    )
    prompts = {line["prompt"] for line in train_lines}
    assert not prompts & {line["prompt"] for line in held_out}
    assert not {line["rejected"] for line in train_lines} & {line["rejected"] for line in held_out}
    mean = {
        key: np.mean([len(line[key]) for line in train_lines]) for key in ("chosen", "rejected")
    }
    assert mean["rejected"] == pytest.approx(mean["chosen"], rel=0.05)
    made = workspace(
        tmp_path,
        tiny_model,
        train_lines[:16],
        **preference("DPO"),
        dataset={"format": "PreferencePairs", "validationFraction": 0.25},
        training={"maxSteps": 2, "warmupSteps": 0, "maxLength": 256, "tokensPerBatch": 1024},
        evaluation={"metrics": ["Loss", "RewardAccuracy"]},
    )
    place = Workspace(tmp_path)
    train_here(made, place, attempt=1)
    tuned = json.loads(place.completion.read_text())["evaluation"]["tuned"]
    assert set(tuned) == {"Loss", "RewardAccuracy"}
