"""Every strategy computes what one process computes, and goes on where any other stopped."""

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_trainer.engine.trainer import PackedTrainer
from finetune_trainer.heads import HEADS, Head
from finetune_trainer.manifest import CompletionManifest
from finetune_trainer.recipe import Strategy, Task
from finetune_trainer.workspace import Workspace
from tests.trainer import matrix, pair
from tests.trainer.matrix import TASK_DATA
from tests.trainer.pair import Pair
from tests.trainer.processes import train
from tests.trainer.recipes import CONVERSATIONS, PAIRS, workspace
from tests.trainer.tiny_models import write_encoder, write_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

FIRST, LAST = 2, 6
"""Steps between which two processes go on with what one has begun."""
LORA: dict[str, Any] = {
    "type": "LoRA",
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
}
DORA = {"type": "DoRA", "lora": None, "dora": LORA["lora"]}
FULL = {"type": "Full", "lora": None}


@dataclass(frozen=True)
class Case:
    """What is trained, and from which data."""

    method: Mapping[str, Any]
    task: str = "Chat"
    lines: Sequence[object] = field(default_factory=lambda: CONVERSATIONS)
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def encoder(self) -> bool:
        return HEADS[Task(self.task)] is not Head.CAUSAL_LM


def of_task(method: Mapping[str, Any], task: str, **changes: Any) -> Case:
    return Case(method, task, TASK_DATA[task], changes)


CASES = {
    "LoRA": Case(LORA),
    "DoRA": Case(DORA),
    "Full": Case(FULL),
    "LoRA, tokens": of_task(LORA, "TokenClassification"),
    "LoRA, texts": of_task(LORA, "TextClassification"),
    "Full, texts": of_task(FULL, "TextClassification"),
    "LoRA, answers": of_task(
        LORA, "QuestionAnswering", evaluation={"metrics": ["Loss", "ExactMatch", "F1"]}
    ),
    "LoRA, DPO": Case(LORA, "Preference", PAIRS, {"preference": {"loss": "DPO", "beta": 0.3}}),
}
GOING_ON = [
    *itertools.product(("LoRA", "DoRA", "Full"), Strategy),
    *itertools.product(("Full, texts",), (Strategy.ZERO2, Strategy.ZERO3)),
]
BETA = 0.9
"""Of AdamW's first moment."""
ROUNDING = 1e-6
"""Of a sum of numbers in fp32, about."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    started = pair.start(tmp_path_factory.mktemp("pair"))
    yield started
    started.end()


@dataclass(frozen=True)
class Alone:
    """What one process did in each case, with a checkpoint of each step."""

    models: Mapping[bool, Path]
    roots: Mapping[str, Path]


@pytest.fixture(scope="module")
def alone(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    encoder = write_encoder(tmp_path_factory.mktemp("encoder"), **still)
    made = Alone(
        {False: tiny_model, True: encoder},
        {name: tmp_path_factory.mktemp("alone") for name in CASES},
    )
    for name, root in made.roots.items():
        one_process(root, made, name)
    return made


def settings(case: Case, processes: int, strategy: str = "DataParallel") -> dict[str, Any]:
    return {
        **case.changes,
        "task": case.task,
        "method": case.method,
        "training": {
            "maxSteps": LAST,
            "warmupSteps": 0,
            "learningRate": 3e-3,
            "packing": not case.encoder,
        },
        "compute": {"nodes": processes},
        "distribution": {"strategy": strategy},
        "dataset": {"validationFraction": 0.1},
        "checkpoint": {"intervalSteps": 1, "keep": LAST},
    }


def one_process(root: Path, alone: Alone, name: str, **changes: Any) -> None:
    case = CASES[name]
    made = workspace(root, alone.models[case.encoder], case.lines, **(settings(case, 1) | changes))
    matrix.train(made, Workspace(root), attempt=1)


def two_processes(
    root: Path, alone: Alone, two: Pair, name: str, strategy: str, **changes: Any
) -> None:
    case = CASES[name]
    made = settings(case, 2, strategy) | changes
    workspace(root, alone.models[case.encoder], case.lines, **made)
    two.run(root)


def go_on_from(step: int, earlier: Path, root: Path) -> None:
    """Give a workspace the checkpoint of another, and what belongs to it."""
    name = f"step-{step:08d}"
    shutil.copytree(earlier / "checkpoints" / name, root / "checkpoints" / name)
    shutil.copytree(earlier / "base-scores", root / "base-scores")


def curve(root: Path) -> dict[int, float]:
    points = map(json.loads, (root / "metrics.jsonl").read_text().splitlines())
    return {point["step"]: point["loss"] for point in points if point.get("loss") is not None}


def gradients(root: Path, step: int, before: Path) -> dict[str, torch.Tensor]:
    """Of one step, as the optimizer saw them, from its first moments after it and before it."""
    moments = [
        load_file(place / "checkpoints" / f"step-{at:08d}" / "optimizer-1.safetensors")
        for place, at in ((before, step - 1), (root, step))
    ]
    return {
        name: (moments[1][name].double() - BETA * moments[0][name].double()) / (1 - BETA)
        for name in moments[1]
        if name.endswith("/exp_avg")
    }


def farthest_apart(mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest relative L2 distance of a tensor.

    Of gradients that are rounding only, as that of the bias of keys is, which no softmax feels, the
    distance is counted in parts of `ROUNDING` of the whole gradient.
    """
    assert mine.keys() == theirs.keys()
    least = ROUNDING * float(torch.stack([each.norm() for each in theirs.values()]).norm())
    return max(
        float((mine[name] - theirs[name]).norm()) / max(float(theirs[name].norm()), least)
        for name in theirs
    )


def no_other(root: Path, other: Path) -> None:
    """What was measured on held-out data, before and after, as far as four digits tell."""
    mine, theirs = (
        CompletionManifest.model_validate_json(Workspace(each).completion.read_bytes()).evaluation
        for each in (root, other)
    )
    assert mine
    assert theirs
    for measured, expected in ((mine.base, theirs.base), (mine.tuned, theirs.tuned)):
        numbers = {name: float(value) for name, value in measured.items()}
        assert numbers == pytest.approx(
            {name: float(value) for name, value in expected.items()}, abs=1e-3
        )


def no_farther(mine: dict[int, float], theirs: dict[int, float], bound: float) -> None:
    assert mine
    assert max(abs(loss - theirs[step]) for step, loss in mine.items()) <= bound


ALONE = """
import sys
from finetune_trainer.engine.loading import load_model
from finetune_trainer.base_model import open_base_model
from finetune_trainer.engine.sharding import is_share, sharding_of
from finetune_trainer.engine.world import join
from finetune_trainer.recipe import Precision, Strategy, read_recipe
import torch
from pathlib import Path

recipe = read_recipe(Path(sys.argv[1]))
join(recipe)
base = open_base_model(Path(sys.argv[2]), 128)
with sharding_of(recipe, Strategy.ZERO3, Precision.FP32, base.config).loading(torch.float32):
    model = load_model(base, torch.float32, torch.device("cpu"), in_shares=True)
assert all(is_share(each) for each in model.parameters())
"""


def test_a_process_that_is_alone_can_keep_shares(tmp_path: Path, tiny_model: Path) -> None:
    """As one GPU does that leaves a part in the host's memory; no launcher's variable is there."""
    distribution = {"strategy": "ZeRO3", "offload": "OptimizerAndParameters"}
    workspace(tmp_path, tiny_model, distribution=distribution)
    command = [sys.executable, "-c", ALONE, str(tmp_path / "recipe.json"), str(tiny_model)]
    environment = {name: value for name, value in os.environ.items() if name != "LOCAL_RANK"}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(("name", "strategy"), GOING_ON)
def test_two_processes_go_on_as_one_and_one_as_two(
    alone: Alone, two: Pair, tmp_path: Path, name: str, strategy: Strategy
) -> None:
    before = alone.roots[name]
    both, after = tmp_path / "both", tmp_path / "after"
    both.mkdir()
    go_on_from(FIRST, before, both)
    two_processes(both, alone, two, name, strategy)
    theirs = gradients(before, FIRST + 1, before)
    assert farthest_apart(gradients(both, FIRST + 1, before), theirs) <= 1e-5
    assert set(curve(both)) == set(range(FIRST + 1, LAST + 1))
    no_farther(curve(both), curve(before), 1e-3)
    assert _saved(both) == _saved(before)
    no_other(both, before)

    after.mkdir()
    go_on_from(LAST - 2, both, after)
    one_process(after, alone, name)
    assert set(curve(after)) == {LAST - 1, LAST}
    no_farther(curve(after), curve(both), 1e-3)


@pytest.mark.parametrize("strategy", [Strategy.ZERO2, Strategy.ZERO3])
@pytest.mark.parametrize(
    "name", ["DoRA", "LoRA, tokens", "LoRA, texts", "LoRA, answers", "LoRA, DPO"]
)
def test_two_processes_begin_as_one(
    alone: Alone, two: Pair, tmp_path: Path, name: str, strategy: Strategy
) -> None:
    two_processes(tmp_path, alone, two, name, strategy)
    assert set(curve(tmp_path)) == set(range(1, LAST + 1))
    no_farther(curve(tmp_path), curve(alone.roots[name]), 1e-4)
    no_other(tmp_path, alone.roots[name])


@pytest.mark.parametrize("name", ["LoRA", "LoRA, DPO"])
def test_two_processes_go_on_from_an_adapter_as_one(
    alone: Alone, two: Pair, tmp_path: Path, name: str
) -> None:
    adapter = alone.roots["LoRA"] / "output" / "adapter"
    going_on = {"model": {"adapterUri": f"file://{adapter}"}}
    one_process(tmp_path / "one", alone, name, **going_on)
    for strategy in (Strategy.DATA_PARALLEL, Strategy.ZERO2):
        root = tmp_path / strategy
        two_processes(root, alone, two, name, strategy, **going_on)
        no_farther(curve(root), curve(tmp_path / "one"), 1e-4)
        no_other(root, tmp_path / "one")


def _saved(root: Path) -> dict[str, torch.Size]:
    """Names and shapes of what was published: never empty, never another's share."""
    (file,) = (root / "output").rglob("*.safetensors")
    return {name: value.shape for name, value in load_file(file).items()}


@pytest.mark.parametrize("name", ["LoRA", "DoRA", "Full", "LoRA, texts"])
def test_four_passes_make_the_gradients_of_one(alone: Alone, tmp_path: Path, name: str) -> None:
    before = alone.roots[name]
    go_on_from(FIRST, before, tmp_path)
    one_process(tmp_path, alone, name, compute={"passes": {"microBatch": 4}})
    theirs = gradients(before, FIRST + 1, before)
    assert farthest_apart(gradients(tmp_path, FIRST + 1, before), theirs) <= 1e-5


def note_what_is_whole(at_most: Path) -> None:
    """In the process: the most numbers of weights that were gathered at a time, into a file."""
    original, most = PackedTrainer.training_step, [0]

    def training_step(self: PackedTrainer, model: torch.nn.Module, *others: Any) -> torch.Tensor:
        def note(*_: object) -> None:
            states = [(each.ds_status.name, each.ds_numel) for each in parameters]
            now = sum(size for status, size in states if status != "NOT_AVAILABLE")
            if now > most[0]:
                most[0] = now
                at_most.write_text(str(now))

        parameters: list[Any] = list(model.parameters())
        hooks = [each.register_forward_hook(note) for each in model.modules()]
        done = original(self, model, *others)
        for each in hooks:
            each.remove()
        return done

    PackedTrainer.training_step = training_step  # type: ignore[method-assign]


def test_zero3_gathers_no_more_ahead_than_two_layers_have(tmp_path: Path) -> None:
    """Its own bound is 10^9, which is all of a model of this size."""
    root, at_most = tmp_path / "run", tmp_path / "at-most"
    width = 384
    shape = {"intermediate_size": 2 * width, "num_key_value_heads": 4, "num_hidden_layers": 12}
    model = write_model(tmp_path / "model", hidden_size=width, **shape)
    workspace(
        root,
        model,
        method=FULL,
        training={"maxSteps": 3, "warmupSteps": 0, "tokensPerBatch": 256},
        compute={"nodes": 2},
        distribution={"strategy": "ZeRO3"},
    )
    leader, _ = train(root, processes=2, prepare=[partial(note_what_is_whole, at_most), None])
    assert leader.trained.step == 3
    shapes = (each.shape for each in load_file(model / "model.safetensors").values())
    whole = sum(math.prod(shape) for shape in shapes)
    # What a module needs is gathered in any case, and what is small is never given back.
    assert 0 < int(at_most.read_text()) <= 1.2 * 24 * width**2 < whole / 2
