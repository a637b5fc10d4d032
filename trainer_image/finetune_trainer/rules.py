"""Which recipes work, and why the others are refused; see combinations.py for pairs of choices.

Pure and light: the operator refuses with it before anything is created, `check` repeats it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from finetune_trainer.combinations import STRATEGY, refusals, values_of
from finetune_trainer.recipe import (
    DatasetFormat,
    Initialization,
    MethodType,
    Metric,
    Recipe,
    Strategy,
    Task,
    Translation,
)

TASK_FORMATS = {
    Task.CHAT: (DatasetFormat.OPENAI_CHAT, DatasetFormat.SHARE_GPT, DatasetFormat.ALPACA),
    Task.INSTRUCTION: (DatasetFormat.ALPACA, DatasetFormat.OPENAI_CHAT, DatasetFormat.SHARE_GPT),
    Task.COMPLETION: (DatasetFormat.TEXT,),
    Task.QUESTION_ANSWERING: (
        DatasetFormat.COLUMNS,
        DatasetFormat.ALPACA,
        DatasetFormat.OPENAI_CHAT,
        DatasetFormat.SHARE_GPT,
    ),
    Task.TRANSLATION: (DatasetFormat.COLUMNS,),
    Task.EXTRACTIVE_QUESTION_ANSWERING: (DatasetFormat.SPAN_QA,),
    Task.TEXT_CLASSIFICATION: (DatasetFormat.COLUMNS,),
    Task.TOKEN_CLASSIFICATION: (DatasetFormat.CONLL,),
    Task.PREFERENCE: (DatasetFormat.PREFERENCE_PAIRS, DatasetFormat.UNPAIRED_PREFERENCE),
}
"""The formats a task can be learned from, the usual one first."""


@dataclass(frozen=True)
class Roles:
    """What a task takes from a line of format Columns, in the spelling of dataset.columns."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.required, *self.optional)


TASK_COLUMNS = {
    Task.QUESTION_ANSWERING: Roles(("question", "answer"), ("context",)),
    Task.TRANSLATION: Roles(("source", "target")),
    Task.TEXT_CLASSIFICATION: Roles(("text", "label"), ("textPair",)),
}
"""Of each task that can be learned from format Columns."""

TASK_METRICS: dict[Task, tuple[Metric, ...]] = {
    Task.CHAT: (Metric.LOSS, Metric.GENERAL_LOSS),
    Task.INSTRUCTION: (Metric.LOSS, Metric.GENERAL_LOSS),
    Task.COMPLETION: (Metric.LOSS, Metric.GENERAL_LOSS),
    Task.QUESTION_ANSWERING: (Metric.LOSS, Metric.EXACT_MATCH, Metric.F1, Metric.GENERAL_LOSS),
    Task.TRANSLATION: (Metric.LOSS, Metric.CHRF, Metric.BLEU, Metric.GENERAL_LOSS),
    Task.EXTRACTIVE_QUESTION_ANSWERING: (Metric.LOSS, Metric.EXACT_MATCH, Metric.F1),
    Task.TEXT_CLASSIFICATION: (Metric.LOSS, Metric.ACCURACY, Metric.MACRO_F1),
    Task.TOKEN_CLASSIFICATION: (Metric.LOSS, Metric.ENTITY_F1),
    Task.PREFERENCE: (Metric.LOSS, Metric.REWARD_ACCURACY, Metric.REWARD_MARGIN),
}
"""What can be measured of a task; all of it is, unless evaluation.metrics says otherwise."""

WITHOUT_WEIGHT_DECAY = (MethodType.IA3, MethodType.VERA)
"""Methods that train vectors only."""

HIGHEST_RANK = 512
"""Of an adapter that vLLM can be told to serve."""


def problems(recipe: Recipe) -> list[str]:
    """Every reason, in the user's spelling, why this recipe cannot work; empty if there is none."""
    return [
        *_data(recipe),
        *refusals(values_of(recipe)),
        *_start(recipe),
        *_rank(recipe),
        *_batch(recipe),
        *_weight_decay(recipe),
        *_metrics(recipe),
        *_translation(recipe),
    ]


def strategies(recipe: Recipe) -> tuple[Strategy, ...]:
    """Those that go with all else that the recipe has chosen, the fastest first."""
    chosen = values_of(recipe)
    whole = bool(recipe.model.adapter_uri)
    return tuple(
        each
        for each in Strategy
        if not any(refusals(chosen | {STRATEGY: each})) and not (whole and each is Strategy.ZERO3)
    )


def _data(recipe: Recipe) -> Iterator[str]:
    chosen = recipe.dataset.format
    if chosen is not DatasetFormat.AUTO and chosen not in TASK_FORMATS[recipe.task]:
        yield format_refused(recipe.task, chosen)
    weighed = [source.weight is not None for source in recipe.dataset.train]
    if any(weighed) and not all(weighed):
        yield WEIGHTS_REFUSED
    if recipe.dataset.chat_template and recipe.task not in TEMPLATED:
        yield TEMPLATE_REFUSED
    named = recipe.dataset.columns.named()
    if named and chosen not in (DatasetFormat.AUTO, DatasetFormat.COLUMNS):
        yield COLUMNS_REFUSED
    roles = TASK_COLUMNS.get(recipe.task, Roles(()))
    yield from (role_refused(role) for role in named if role not in roles.all)


TEMPLATED = (Task.CHAT, Task.INSTRUCTION, Task.QUESTION_ANSWERING, Task.TRANSLATION)
"""The tasks that ask in a chat template."""
TEMPLATE_REFUSED = (
    f"dataset.chatTemplate is used with tasks {', '.join(TEMPLATED[:-1])} and {TEMPLATED[-1]} only:"
    " remove it"
)
WEIGHTS_REFUSED = (
    "dataset.train has sources with weight and without: give each a weight, or none, so that every "
    "example is in an epoch once"
)
COLUMNS_REFUSED = (
    "dataset.columns is read with dataset.format Columns only: remove it, or set format: Columns"
)


def role_refused(role: str) -> str:
    """Why a role of dataset.columns is refused, and which tasks have it."""
    tasks = " or ".join(tasks_with(role))
    return f"dataset.columns.{role} is used with task {tasks} only: remove it, or set task: {tasks}"


def tasks_with(role: str) -> list[Task]:
    """The tasks that take such a value from a line."""
    return [task for task, roles in TASK_COLUMNS.items() if role in roles.all]


def format_refused(task: Task, chosen: DatasetFormat) -> str:
    """Why a task cannot be learned from a format, and what can be done."""
    accepted = " or ".join(TASK_FORMATS[task])
    fitting = " or ".join(other for other, formats in TASK_FORMATS.items() if chosen in formats)
    return (
        f"task {task} cannot be learned from dataset.format {chosen}: "
        f"give data as {accepted}, or set task: {fitting}"
    )


def _metrics(recipe: Recipe) -> Iterator[str]:
    evaluation = recipe.evaluation
    for metric in evaluation.metrics:
        if metric not in TASK_METRICS[recipe.task]:
            yield metric_refused(recipe.task, metric)
    if evaluation.best_metric not in TASK_METRICS[recipe.task]:
        yield metric_refused(recipe.task, evaluation.best_metric, "evaluation.bestMetric")
    if evaluation.keep_best and evaluation.interval_steps is None:
        yield KEPT_WITHOUT_INTERVAL
    dataset = recipe.dataset
    held_out = dataset.validation or dataset.validation_fraction
    for field, given in (
        ("evaluation.intervalSteps", evaluation.interval_steps),
        ("evaluation.gates", evaluation.gates),
    ):
        if given and not held_out:
            yield (
                f"{field} asks for held-out data, and there is none: give dataset.validation or"
                " dataset.validationFraction, or remove it"
            )
    for gate in evaluation.gates:
        if gate.metric not in TASK_METRICS[recipe.task]:
            yield metric_refused(recipe.task, gate.metric, "evaluation.gates")
        elif gate.metric not in (Metric.LOSS, *evaluation.metrics):
            yield (
                f"evaluation.gates {gate.metric} would not be measured: add it to"
                " evaluation.metrics, or remove the gate"
            )


KEPT_WITHOUT_INTERVAL = (
    "evaluation.keepBest and training.earlyStopping go by evaluations along the way: set"
    " evaluation.intervalSteps, or remove them"
)


def metric_refused(task: Task, metric: Metric, field: str = "evaluation.metrics") -> str:
    """Why a metric is refused, and which there are."""
    return (
        f"{field} {metric} cannot be measured of task {task}: "
        f"choose from {', '.join(TASK_METRICS[task])}"
    )


TRANSLATION_REFUSED = "translation is used with task Translation only: remove it"


def _translation(recipe: Recipe) -> Iterator[str]:
    if recipe.task is not Task.TRANSLATION and recipe.translation != Translation():
        yield TRANSLATION_REFUSED


def _start(recipe: Recipe) -> Iterator[str]:
    if not recipe.model.adapter_uri:
        return
    if recipe.method.type is MethodType.FULL:
        yield ADAPTER_REFUSED_BY_FULL
    if recipe.distribution.strategy is Strategy.ZERO3:
        yield ADAPTER_REFUSED_BY_ZERO3
    lora = recipe.method.lora
    if lora and lora.initialization is not Initialization.DEFAULT:
        yield ADAPTER_REFUSED_BY_INITIALIZATION


ADAPTER_REFUSED_BY_FULL = (
    "model.adapterUri is what an adapter goes on from, and method.type Full trains the whole "
    "model: set method.type to the adapter's, or model.storageUri to a model with it merged"
)

ADAPTER_REFUSED_BY_ZERO3 = (
    "model.adapterUri is loaded whole by every process, and distribution.strategy ZeRO3 has shares:"
    " set strategy ZeRO2"
)

ADAPTER_REFUSED_BY_INITIALIZATION = (
    "method.lora.initialization decides what an adapter starts from, and so does model.adapterUri: "
    "set initialization Default"
)


def _rank(recipe: Recipe) -> Iterator[str]:
    lora = recipe.method.lora
    if lora and lora.initialization is not Initialization.DEFAULT and lora.rank > HIGHEST_RANK // 2:
        yield (
            f"method.lora.rank {lora.rank} would be published as {2 * lora.rank}, because "
            f"initialization {lora.initialization} doubles it, and vLLM serves up to "
            f"{HIGHEST_RANK}: set rank to {HIGHEST_RANK // 2} or less, or initialization: Default"
        )


def _batch(recipe: Recipe) -> Iterator[str]:
    training, world_size = recipe.training, recipe.compute.world_size
    sequences = training.sequences_per_batch
    if sequences < world_size or sequences % world_size:
        lowest = world_size * training.max_length
        yield (
            f"training.tokensPerBatch {training.tokens_per_batch} holds {sequences} sequences of "
            f"training.maxLength {training.max_length}, which {world_size} process(es) cannot "
            f"share evenly: set tokensPerBatch to a multiple of {lowest}"
        )
    if training.max_steps is not None and training.warmup_steps >= training.max_steps:
        yield warmup_refused(training.warmup_steps, training.max_steps)


def _weight_decay(recipe: Recipe) -> Iterator[str]:
    if recipe.training.weight_decay and recipe.method.type in WITHOUT_WEIGHT_DECAY:
        yield weight_decay_refused(recipe.method.type)


def weight_decay_refused(method: MethodType) -> str:
    """Why a weight decay is refused that nothing would obey."""
    return (
        f"training.weightDecay takes nothing off what method {method} trains: vectors, which do not"
        " belong near 0: remove it, or set method.type: LoRA"
    )


def warmup_refused(warmup_steps: int, total_steps: int) -> str:
    """Why a warm-up as long as the run is refused."""
    return (
        f"training.warmupSteps {warmup_steps} leaves none of the {total_steps} optimizer steps "
        f"for training: set it below {total_steps}"
    )
