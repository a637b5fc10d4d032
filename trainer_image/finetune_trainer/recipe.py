"""The recipe: exactly what one run does. The operator writes it, the trainer obeys it.

Spelled as in the FineTuneJob (camelCase in JSON), but with every choice made: no `Auto` that only
a cluster could answer, no default left open. Only `precision: Auto` stays a word, because nothing
but the container sees which number formats its processor has.

This module is imported by the operator: pydantic only.
"""

import hashlib
import json
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from finetune_trainer.errors import ConfigurationError


class Task(StrEnum):
    """What the model is taught to say: see tasks/."""

    CHAT = "Chat"
    INSTRUCTION = "Instruction"
    COMPLETION = "Completion"
    QUESTION_ANSWERING = "QuestionAnswering"
    TRANSLATION = "Translation"
    EXTRACTIVE_QUESTION_ANSWERING = "ExtractiveQuestionAnswering"
    TEXT_CLASSIFICATION = "TextClassification"
    TOKEN_CLASSIFICATION = "TokenClassification"  # noqa: S105 - no password
    PREFERENCE = "Preference"


class Metric(StrEnum):
    """What is measured on held-out data: see metrics.py."""

    LOSS = "Loss"
    EXACT_MATCH = "ExactMatch"
    F1 = "F1"
    CHRF = "ChrF"
    BLEU = "BLEU"
    ACCURACY = "Accuracy"
    MACRO_F1 = "MacroF1"
    ENTITY_F1 = "EntityF1"
    REWARD_ACCURACY = "RewardAccuracy"
    REWARD_MARGIN = "RewardMargin"
    GENERAL_LOSS = "GeneralLoss"
    """Of texts that have nothing to do with the task: see objectives/general.py."""

    @property
    def lower_is_better(self) -> bool:
        """Whether a gain is a fall."""
        return self in (Metric.LOSS, Metric.GENERAL_LOSS)


class DatasetFormat(StrEnum):
    """How a line of the data is laid out: see data/formats/."""

    AUTO = "Auto"
    OPENAI_CHAT = "OpenAIChat"
    SHARE_GPT = "ShareGPT"
    ALPACA = "Alpaca"
    TEXT = "Text"
    COLUMNS = "Columns"
    SPAN_QA = "SpanQA"
    CONLL = "CoNLL"
    PREFERENCE_PAIRS = "PreferencePairs"
    UNPAIRED_PREFERENCE = "UnpairedPreference"


class MethodType(StrEnum):
    """Which parameters are trained: see methods/."""

    LORA = "LoRA"
    DORA = "DoRA"
    IA3 = "IA3"
    VERA = "VeRA"
    PROMPT_TUNING = "PromptTuning"
    FULL = "Full"


class TargetModulesPreset(StrEnum):
    """Named sets of modules that an adapter changes."""

    ALL_LINEAR = "AllLinear"


class Initialization(StrEnum):
    """What the matrices of LoRA start from: see methods/lora.py."""

    DEFAULT = "Default"
    PISSA = "PiSSA"
    LOFTQ = "LoftQ"


class QuantizationType(StrEnum):
    """Number format in which frozen linear layers are held: see engine/quantization.py."""

    NONE = "None"
    NF4 = "NF4"
    INT8 = "Int8"


class PreferenceLoss(StrEnum):
    """What is learned from which replies people prefer: see tasks/dpo.py and tasks/kto.py."""

    DPO = "DPO"
    KTO = "KTO"


class Schedule(StrEnum):
    """How the learning rate goes on after warm-up."""

    COSINE = "Cosine"
    LINEAR = "Linear"
    CONSTANT = "Constant"


class Optimizer(StrEnum):
    """How gradients become updates: see engine/optimizers.py."""

    ADAMW = "AdamW"
    ADAMW_8BIT = "AdamW8bit"
    ADAFACTOR = "Adafactor"


class ClassWeights(StrEnum):
    """How much each class counts in the loss: see tasks/text_classification.py."""

    NONE = "None"
    BALANCED = "Balanced"


class Precision(StrEnum):
    """Number format of the frozen weights and of the arithmetic; trained tensors are FP32."""

    AUTO = "Auto"
    FP32 = "FP32"
    BF16 = "BF16"


class Strategy(StrEnum):
    """What each process holds of its own: all, or its share of more and more."""

    DATA_PARALLEL = "DataParallel"
    ZERO1 = "ZeRO1"
    ZERO2 = "ZeRO2"
    ZERO3 = "ZeRO3"

    @property
    def stage(self) -> int:
        """DeepSpeed's number for it."""
        return list(Strategy).index(self)


class Offload(StrEnum):
    """What lies in the host's memory instead of the GPU's."""

    NONE = "None"
    OPTIMIZER = "Optimizer"
    OPTIMIZER_AND_PARAMETERS = "OptimizerAndParameters"


class Device(StrEnum):
    """Where the run computes; the operator has resolved Auto."""

    CPU = "CPU"
    GPU = "GPU"


class Export(StrEnum):
    """What is made of the result: see export/. In the order in which artifacts are listed."""

    ADAPTER = "Adapter"
    """What was trained; of method Full that is the model itself."""
    MERGED = "Merged"
    ONNX = "ONNX"
    ONNX_ADAPTER = "ONNXAdapter"
    ONNX_INT8 = "ONNXInt8"
    AI_TOOLKIT = "AIToolkit"
    GGUF = "GGUF"


class _Frozen(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
    )


class JobIdentity(_Frozen):
    """Whose run this is; written into checkpoints, model card and completion manifest."""

    namespace: str = Field(min_length=1)
    name: str = Field(min_length=1)
    generation: int = Field(ge=1)


class Model(_Frozen):
    """The base model: fetched into inputs/model before the run."""

    storage_uri: str = Field(min_length=1)
    revision: str = ""
    adapter_uri: str = ""
    """What training goes on from, fetched into inputs/adapter; empty where it is the model."""
    adapter_revision: str = ""


class Source(_Frozen):
    """One dataset: fetched into inputs/train-<i> or inputs/validation-<i>."""

    storage_uri: str = Field(min_length=1)
    weight: float | None = Field(default=None, gt=0.0)
    """Of a source of `train`: its share of an epoch is the share of its weight; see
    data/mixing.py."""


class Columns(_Frozen):
    """Which key of a line holds what a task needs; None is a key named like the role. Which task
    has which roles, and which of them each line must have: see TASK_COLUMNS in rules.py."""

    question: str | None = None
    answer: str | None = None
    context: str | None = None
    source: str | None = None
    target: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None

    def named(self) -> dict[str, str]:
        """Keys by role, of the roles that were given."""
        given: dict[str, str] = self.model_dump(exclude_none=True)
        return given


class Dataset(_Frozen):
    """What is learned from, and what the result is measured on."""

    train: Annotated[list[Source], Field(min_length=1, max_length=16)]
    validation: Annotated[list[Source], Field(max_length=16)] = Field(default_factory=list)
    validation_fraction: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the examples of `train` held out instead; 0 where `validation` is given."""
    format: DatasetFormat
    columns: Columns = Columns()
    """Of format Columns."""
    chat_template: str = ""
    """Jinja, in place of the model's own; empty is the model's."""

    @model_validator(mode="after")
    def _one_way_to_hold_out(self) -> Self:
        if self.validation and self.validation_fraction:
            raise ValueError("dataset.validation and dataset.validationFraction exclude each other")
        return self


class Targets(_Frozen):
    """Which modules an adapter changes."""

    target_modules_preset: TargetModulesPreset = TargetModulesPreset.ALL_LINEAR
    target_modules: list[str] = Field(default_factory=list)
    """Suffixes of module names, for example q_proj; when given, the preset is not used."""


class LowRank(Targets):
    """What LoRA and DoRA share; names as in PEFT."""

    rank: int = Field(ge=1, le=1024)
    alpha: int = Field(ge=1, le=4096)
    dropout: float = Field(ge=0.0, lt=1.0)
    rank_stabilized: bool = False
    """Scale by alpha / sqrt(rank) instead of alpha / rank."""
    learning_rate_ratio: float = Field(default=1.0, ge=1.0, le=64.0)
    """LoRA+: the learning rate of B is so many times that of A."""

    @property
    def scaling(self) -> float:
        """What the product of B and A is multiplied by."""
        return self.alpha / (self.rank**0.5 if self.rank_stabilized else self.rank)


class LoRA(LowRank):
    """Low-rank adaptation."""

    initialization: Initialization = Initialization.DEFAULT


class DoRA(LowRank):
    """LoRA for the direction of each row of a weight, and a magnitude of its own."""


class IA3(Targets):
    """A factor for each output of a module, or for each input: see methods/ia3.py."""


class VeRA(Targets):
    """Random matrices shared by all modules, and two trained vectors for each."""

    rank: int = Field(ge=1, le=4096)
    dropout: float = Field(ge=0.0, lt=1.0)


class PromptTuning(_Frozen):
    """Trained embeddings before every document."""

    virtual_tokens: int = Field(ge=1, le=1024)


class Method(_Frozen):
    """A type and the member of its name; Full has none."""

    type: MethodType
    lora: LoRA | None = None
    dora: DoRA | None = None
    ia3: IA3 | None = None
    vera: VeRA | None = None
    prompt_tuning: PromptTuning | None = None

    @model_validator(mode="after")
    def _member_of_its_name(self) -> Self:
        for name, field in type(self).model_fields.items():
            method = METHOD_OF_MEMBER.get(field.alias or name)
            if method and (self.type is method) != (getattr(self, name) is not None):
                raise ValueError(
                    f"method.{field.alias} is given exactly when method.type is {method}"
                )
        return self

    @property
    def targets(self) -> Targets:
        """Raises TypeError for a method that changes no modules."""
        found = self.lora or self.dora or self.ia3 or self.vera
        if found is None:
            raise TypeError(f"method {self.type} has no target modules")
        return found

    @property
    def low_rank(self) -> LowRank:
        """Raises TypeError for a method without matrices A and B."""
        found = self.lora or self.dora
        if found is None:
            raise TypeError(f"method {self.type} is not of low rank")
        return found


METHOD_OF_MEMBER = {
    "lora": MethodType.LORA,
    "dora": MethodType.DORA,
    "ia3": MethodType.IA3,
    "vera": MethodType.VERA,
    "promptTuning": MethodType.PROMPT_TUNING,
}
"""The method that a member of `method` is for."""


class Quantization(_Frozen):
    """How the frozen linear layers are held."""

    type: QuantizationType = QuantizationType.NONE


def method_name(method: MethodType, quantization: QuantizationType) -> str:
    """What people call the two together: QLoRA is LoRA over NF4."""
    if quantization is QuantizationType.NF4 and method in (MethodType.LORA, MethodType.DORA):
        return f"Q{method}"
    return method if quantization is QuantizationType.NONE else f"{method} ({quantization})"


class Preference(_Frozen):
    """How far preferences move the model; names as in TRL."""

    loss: PreferenceLoss
    beta: float = Field(gt=0.0, le=10.0)
    """Reward of a nat that a reply has become more likely: the more, the closer the model stays to
    the one that it starts from."""
    desirable_weight: float = Field(default=1.0, gt=0.0, le=100.0)
    """KTO: factor of the loss of desirable replies."""
    undesirable_weight: float = Field(default=1.0, gt=0.0, le=100.0)
    """KTO: factor of the loss of undesirable ones."""


class EarlyStopping(_Frozen):
    """End training when evaluations along the way no longer gain: see engine/selection.py."""

    patience: int = Field(ge=1)
    """Evaluations without a gain after which training ends."""
    minimum_gain: float = Field(default=0.0, ge=0.0)
    """What counts as one: absolute, in the metric's better direction."""


class Training(_Frozen):
    """The optimization itself."""

    epochs: int = Field(ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    """The number of optimizer steps; when given, `epochs` does not count."""
    learning_rate: float = Field(gt=0.0, le=1.0)
    schedule: Schedule
    warmup_steps: int = Field(ge=0)
    optimizer: Optimizer = Optimizer.ADAMW
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of a weight, times the learning rate, that each step takes off it; biases and norms
    keep theirs."""
    max_gradient_norm: float = Field(default=1.0, gt=0.0)
    """Gradients of a larger L2 norm, over all parameters, are scaled down to it."""
    early_stopping: EarlyStopping | None = None
    """None: training goes to its last step."""
    max_length: int = Field(ge=8)
    """Tokens of one sequence: of an example when not packing, of a pack of examples otherwise."""
    packing: bool
    tokens_per_batch: int = Field(ge=8)
    """Tokens of one optimizer step over all processes: tokensPerBatch // maxLength sequences."""
    precision: Precision
    class_weights: ClassWeights = ClassWeights.NONE
    """Of task TextClassification."""
    seed: int = Field(ge=0, lt=2**32)

    @property
    def sequences_per_batch(self) -> int:
        """Sequences of one optimizer step over all processes."""
        return self.tokens_per_batch // self.max_length


class Compute(_Frozen):
    """How many processes share a step: one for each GPU, or one for each node without GPUs; and
    how each does its share. Nothing here changes a result."""

    device: Device
    nodes: int = Field(ge=1)
    gpus_per_node: int = Field(ge=0)
    micro_batch: int = Field(default=1, ge=1)
    """Sequences of training.maxLength tokens in one forward and backward pass, at most."""
    activation_checkpointing: bool = False
    """Keep only what passes between layers, and compute each layer again for its gradient."""

    @property
    def processes_per_node(self) -> int:
        return max(1, self.gpus_per_node)

    @property
    def world_size(self) -> int:
        return self.nodes * self.processes_per_node

    @model_validator(mode="after")
    def _gpus_on_gpu_only(self) -> Self:
        if (self.device is Device.GPU) != (self.gpus_per_node > 0):
            raise ValueError("compute.gpusPerNode is above 0 exactly when compute.device is GPU")
        return self


class Distribution(_Frozen):
    """What of the model and of its training each process holds. Nothing here changes a result."""

    strategy: Strategy = Strategy.DATA_PARALLEL
    offload: Offload = Offload.NONE


class Checkpoint(_Frozen):
    """When checkpoints are written and how many are kept."""

    interval_steps: int = Field(ge=1)
    interval_seconds: int = Field(ge=1)
    keep: int = Field(ge=1)


class Gate(_Frozen):
    """What a metric of the tuned model has to be for the result to be published: see gates.py."""

    metric: Metric
    maximum: Decimal | None = None
    minimum: Decimal | None = None
    minimum_gain: Decimal | None = None
    """Over the base model: absolute, in the metric's better direction."""

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if [self.maximum, self.minimum, self.minimum_gain].count(None) != 2:
            raise ValueError("a gate has one of maximum, minimum and minimumGain")
        return self


class Evaluation(_Frozen):
    """What is measured of the base model and of the tuned one, where data is held out."""

    metrics: list[Metric] = Field(default_factory=lambda: [Metric.LOSS])
    """Loss is measured always."""
    max_new_tokens: int = Field(default=128, ge=1, le=4096)
    """Tokens of an answer that the model writes itself, at most."""
    generated_examples: int = Field(default=200, ge=1, le=1_000_000)
    """Held-out examples that are answered for the metrics of answers, at most."""
    shown_examples: int = Field(default=10, ge=0, le=100)
    """Held-out examples of which the report shows the answers."""
    interval_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps between evaluations along the way; None: only before and after."""
    best_metric: Metric = Metric.LOSS
    """By which evaluations along the way are compared."""
    keep_best: bool = False
    """The result is the best of what was evaluated along the way, not what the last step left."""
    gates: list[Gate] = Field(default_factory=list)
    """Decide nothing in training."""


class Translation(_Frozen):
    """What the prompt of task Translation names; empty is not named."""

    source_language: str = ""
    target_language: str = ""


class Output(_Frozen):
    """What the run leaves behind."""

    exports: Annotated[list[Export], Field(min_length=1)] = Field(
        default_factory=lambda: [Export.ADAPTER]
    )
    """What is published. What was trained lies in output/ always."""

    @property
    def conversions(self) -> list[Export]:
        """What has to be made of what was trained, in the order of `Export`."""
        return [each for each in Export if each in self.exports and each is not Export.ADAPTER]


class Recipe(_Frozen):
    """Exactly what one run does."""

    job: JobIdentity
    model: Model
    task: Task
    translation: Translation = Translation()
    dataset: Dataset
    method: Method
    quantization: Quantization = Quantization()
    preference: Preference | None = None
    """Of task Preference, and of no other."""
    training: Training
    compute: Compute
    distribution: Distribution = Distribution()
    checkpoint: Checkpoint
    evaluation: Evaluation = Evaluation()
    output: Output = Output()

    @model_validator(mode="after")
    def _preference_of_its_task(self) -> Self:
        if (self.task is Task.PREFERENCE) != (self.preference is not None):
            raise ValueError("preference is given exactly when task is Preference")
        return self

    @model_validator(mode="after")
    def _stopped_at_the_best(self) -> Self:
        if self.training.early_stopping and not self.evaluation.keep_best:
            raise ValueError("evaluation.keepBest is true where training.earlyStopping is given")
        return self

    @property
    def strategy(self) -> Strategy:
        """The one that is carried out: a process without others has nobody to share with, unless
        a part of its own lies in the host's memory."""
        alone = self.compute.world_size == 1 and self.distribution.offload is Offload.NONE
        return Strategy.DATA_PARALLEL if alone else self.distribution.strategy

    def canonical_json(self) -> str:
        """The same text for the same recipe, whoever writes it."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """`sha256:…` of the whole recipe."""
        return _digest(self.model_dump(mode="json"))

    def training_digest(self) -> str:
        """`sha256:…` of what decides the numbers: a checkpoint of another one is not resumed.

        Left out: who runs it, on how many processes, what each of them holds, when checkpoints
        are written, what is made of the result, and what is measured where nothing follows.
        """
        without: dict[str, Any] = dict.fromkeys(
            ("job", "compute", "distribution", "checkpoint", "output"), True
        )
        deciding_nothing = {"metrics", "gates", "shown_examples"}
        without["evaluation"] = deciding_nothing if self.evaluation.keep_best else True
        return _digest(self.model_dump(mode="json", exclude=without))


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def read_recipe(path: Path) -> Recipe:
    """Read and check the recipe file.

    Raises:
        ConfigurationError: the file is missing, not JSON, or not a recipe; names each field.
    """
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read the recipe {path}: {error.strerror}") from error
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'recipe'}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        raise ConfigurationError(f"{path.name} is not a recipe: {details}") from error
