"""The founding table as data. Adding a row is one entry of SCENARIOS; nothing else names it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from finetune_trainer.recipe import Metric

COLUMNS: dict[str, dict[str, Any]] = {
    "LoRA": {"method": {"type": "LoRA"}},
    "QLoRA": {"method": {"type": "LoRA"}, "quantization": {"type": "NF4"}},
    "PEFT": {"method": {"type": "IA3"}},
    "DoRA": {"method": {"type": "DoRA"}},
    "Full": {"method": {"type": "Full"}},
}
"""A column of the table as part of a FineTuneJob's spec; Full is what they are compared with."""

STRATEGIES = {"DeepSpeed": "ZeRO2", "ZeRO": "ZeRO3"}
"""The columns that are ways of sharing a step among processes."""

CLAIMED = ("LoRA", "QLoRA", "PEFT", "DeepSpeed", "ZeRO", "DoRA")
"""In the table's order; each says yes in every row of quality."""

SEEDS = (1, 2, 3)
PARITY_STEPS = 20
PARITY_TOKENS = 256
"""Of a step of both processes: what is shared is shared of any number of tokens."""
PARITY_TOLERANCE = 1e-4
"""Largest difference of a step's loss under a strategy from that under DataParallel."""
EARLY_STEPS = 10
"""After which the time of a step is to be known."""
EARLY_TOLERANCE = 0.25
"""How far it may be from the time that a step took in the end."""
OVER_ESTIMATE = 0.05
"""How much more than `finetune plan` has told a process may take."""
SHARE_OF_FULL = 0.9
"""Of Full's gain, what LoRA is claimed to reach."""


@dataclass(frozen=True)
class Scenario:
    """One row: an example, and how its success is told."""

    name: str
    row: str
    """Of the founding table."""
    title: str
    example: str
    """Folder in examples/, with job.yaml and either data/ or build.py."""
    metric: Metric
    """What decides."""
    model: str = "dev.models.smollm2"
    """Module that prints the folder of the base model."""
    baselines: tuple[str, ...] = ()
    """What has to be beaten besides the base model: names in baselines.py."""
    rates: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Learning rates of columns for which the example's own is not meant."""
    steps: int | None = None
    """Optimizer steps of a run of quality, where the example takes longer than methods need to be
    told apart; None: as long as the example."""
    second: str | None = "DoRA"
    """The column that is measured with every seed, as LoRA is; None where another scenario of the
    same row is."""
    strategies: bool = True
    """Whether the strategies are tried on it; False where they are on another scenario of the same
    row."""


ADAPTING = "adapting a pretrained LLM to a task or domain"
NLP = "NLP tasks: text classification, named entity recognition, machine translation"
ANSWERS = "question answering"
CHATBOTS = "human-like answers in chatbots"
CREATIVE = "music, art, other creative forms"

_MINILM = "dev.models.minilm"
_MINILM_RATES = {"PEFT": "1e-2", "Full": "2e-4"}
_SMOLLM2_RATES = {"PEFT": "1e-2", "Full": "1e-4"}

SCENARIOS = (
    Scenario(
        name="domain-adaptation",
        row=ADAPTING,
        title="The Kubernetes API reference",
        example="domain-adaptation",
        metric=Metric.LOSS,
        steps=8,
        rates=_SMOLLM2_RATES,
        second="QLoRA",
    ),
    Scenario(
        name="chat",
        row=CHATBOTS,
        title="A chat that knows FineTuneJob",
        example="chat",
        metric=Metric.LOSS,
        rates=_SMOLLM2_RATES,
        second="DoRA",
    ),
    Scenario(
        name="small-talk",
        row=CHATBOTS,
        title="A chat that talks as people do",
        example="small-talk",
        metric=Metric.LOSS,
        steps=9,
        rates=_SMOLLM2_RATES,
        second=None,
        strategies=False,
    ),
    Scenario(
        name="text-classification",
        row=NLP,
        title="The section of a Debian package",
        example="text-classification",
        metric=Metric.ACCURACY,
        model=_MINILM,
        baselines=("the largest class", "frozen encoder + logistic regression"),
        rates=_MINILM_RATES,
    ),
    Scenario(
        name="named-entity-recognition",
        row=NLP,
        title="Commands, options and files in sentences",
        example="named-entity-recognition",
        metric=Metric.ENTITY_F1,
        model=_MINILM,
        baselines=("the words' usual tags",),
        rates=_MINILM_RATES,
    ),
    Scenario(
        name="extractive-question-answering",
        row=ANSWERS,
        title="Answers found in the reference of FineTuneJob",
        example="extractive-question-answering",
        metric=Metric.F1,
        model=_MINILM,
        baselines=("no answer to all",),
        rates=_MINILM_RATES,
    ),
    Scenario(
        name="question-answering",
        row=ANSWERS,
        title="Questions about notes of a night shift",
        example="question-answering",
        metric=Metric.F1,
        baselines=("one answer to all",),
        steps=16,
        rates=_SMOLLM2_RATES,
        second="QLoRA",
        strategies=False,
    ),
    Scenario(
        name="translation",
        row=NLP,
        title="Translation from Spanish",
        example="translation",
        metric=Metric.CHRF,
        baselines=("the source copied",),
        steps=20,
        rates=_SMOLLM2_RATES,
        second=None,
        strategies=False,
    ),
    Scenario(
        name="music",
        row=CREATIVE,
        title="Tunes in ABC notation",
        example="music",
        metric=Metric.LOSS,
        steps=6,
        rates=_SMOLLM2_RATES,
        second="QLoRA",
    ),
)


@dataclass(frozen=True)
class Run:
    """One training that is measured."""

    scenario: str
    column: str
    seed: int = SEEDS[0]
    strategy: str = "DataParallel"
    processes: int = 1
    steps: int | None = None
    """None: as long as the scenario says, and measured on held-out data before and after."""
    tokens: int | None = None
    """Of a step, at most; None: as many as the example says."""
    precision: str | None = None
    """None: as the example says."""

    @property
    def name(self) -> str:
        """Unique, and readable in a log."""
        parts = [self.scenario, self.column, f"seed {self.seed}"]
        if self.steps:
            parts += [f"{self.steps} steps", f"{self.strategy} of {self.processes}"]
        return ", ".join(parts)


def quality(scenario: Scenario) -> list[Run]:
    """The runs of one row, those that say most first."""
    first = [Run(scenario.name, column) for column in COLUMNS]
    often = ("LoRA", scenario.second) if scenario.second else ()
    again = [Run(scenario.name, each, seed) for each in often for seed in SEEDS]
    return [*first, *(run for run in again if run not in first)]


def parity(scenario: Scenario) -> list[Run]:
    """LoRA in two processes, under DataParallel and under each strategy; none where they are tried
    on another scenario.

    Not one process against two: what dropout takes away depends on the process, and the dropout of
    an encoder itself cannot be switched off by a job. In FP32: the sums of two processes differ in
    the last bit by their order, and in BF16 that is the third digit.
    """
    if not scenario.strategies:
        return []
    plain = Run(
        scenario.name,
        "LoRA",
        processes=2,
        steps=PARITY_STEPS,
        tokens=PARITY_TOKENS,
        precision="FP32",
    )
    return [plain, *(replace(plain, strategy=strategy) for strategy in STRATEGIES.values())]


SHARED_SCENARIO = "chat"
SHARED_STEPS = 6


def sharing() -> list[Run]:
    """How much memory each process takes: Full under each strategy, DoRA in one and in two."""

    def run(column: str, strategy: str, processes: int) -> Run:
        return Run(SHARED_SCENARIO, column, SEEDS[0], strategy, processes, SHARED_STEPS)

    return [
        run("Full", "DataParallel", 2),
        *(run("Full", strategy, 2) for strategy in STRATEGIES.values()),
        run("DoRA", "DataParallel", 1),
        run("DoRA", "DataParallel", 2),
    ]


def all_runs() -> list[Run]:
    """Every run of the table; quality first, row by row."""
    runs = [run for scenario in SCENARIOS for run in quality(scenario)]
    runs += [run for scenario in SCENARIOS for run in parity(scenario)]
    return [*runs, *sharing()]
