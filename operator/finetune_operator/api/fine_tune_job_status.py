"""What the operator reports about a FineTuneJob."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.conditions import Conditions
from finetune_operator.api.distribution import StrategyChoice
from finetune_operator.api.text import Decimal, Time
from finetune_trainer.manifest import ArtifactKind
from finetune_trainer.recipe import Device

Text = Annotated[str, Field(max_length=1024)]
Count = Annotated[int, Field(ge=0)]


class Verdict(StrEnum):
    """What kstatus, which Flux and others go by, makes of an object."""

    IN_PROGRESS = "InProgress"
    CURRENT = "Current"
    FAILED = "Failed"


class Phase(StrEnum):
    """Where a job is, for people; programs read conditions."""

    def __new__(cls, value: str, verdict: Verdict, meaning: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.verdict = verdict
        member.meaning = meaning
        return member

    verdict: Verdict
    meaning: str

    PENDING = (
        "Pending",
        Verdict.IN_PROGRESS,
        "Not looked at yet. Not acceptable: see condition Accepted; kstatus then says Failed.",
    )
    PREPARING = "Preparing", Verdict.IN_PROGRESS, "Model and data are fetched and checked."
    QUEUED = "Queued", Verdict.IN_PROGRESS, "Waits for its turn, or for nodes."
    TRAINING = "Training", Verdict.IN_PROGRESS, "The pods of an attempt run."
    PUBLISHING = "Publishing", Verdict.IN_PROGRESS, "Trained; the result is pushed and published."
    SUSPENDED = (
        "Suspended",
        Verdict.CURRENT,
        "spec.suspend is obeyed; false goes on from the last checkpoint.",
    )
    SUCCEEDED = "Succeeded", Verdict.CURRENT, "Over, with everything asked for."
    FAILED = "Failed", Verdict.FAILED, "Over, without what was asked for: see condition Failed."


class Resolved(ApiModel):
    """What names in spec stood for when the job was accepted."""

    model_revision: Text | None = None
    """Commit (hf://) or digest (oci://) of the base model."""
    adapter_revision: Text | None = None
    """Commit (hf://) or digest of the adapter that training goes on from."""
    dataset_digest: Text | None = None
    """sha256 of the training data."""
    recipe_digest: Text | None = None
    """sha256 of the recipe: exactly what is run."""
    trainer_image: Text | None = None
    """Image of the training pods."""


class Plan(ApiModel):
    """How the job is carried out."""

    device: Device
    """CPU or GPU."""
    nodes: Count
    """Pods of an attempt, one on each node."""
    gpus_per_node: Count
    """GPUs of each pod; 0 on CPU."""
    method: Text | None = None
    """Method and quantization in one word, such as LoRA, or QLoRA: LoRA over NF4."""
    strategy: StrategyChoice = StrategyChoice.DATA_PARALLEL
    """How the processes share memory: DataParallel, ZeRO1, ZeRO2 or ZeRO3; what Auto stood for.
    Auto where the trainer chooses, because the model or the memory is not known before."""


class Progress(ApiModel):
    """How far training is; written at most every 10 seconds."""

    step: Count
    """Optimizer steps done."""
    total_steps: Count
    """Optimizer steps of the whole training."""
    steps: Text
    """The two of them, such as 420/1800."""
    percentage: Annotated[int, Field(ge=0, le=100)]
    """Share of the steps that are done."""
    loss: Decimal | None = None
    """Training loss of the last steps."""
    validation_loss: Decimal | None = None
    """Loss on held-out data when it was last measured."""
    learning_rate: Decimal | None = None
    """Learning rate of the last step."""
    tokens_per_second: Count | None = None
    """Tokens of all processes in a second."""
    remaining: Text | None = None
    """Estimated time to the end, such as 1h38m."""
    updated_at: Time
    """When the trainer said so."""


class Attempts(ApiModel):
    """How often training was started."""

    current: Count = 0
    """Number of the attempt, from 1; 0 before the first."""
    failures: Count = 0
    """Attempts that failed; spec.restarts.limit bounds them."""
    disruptions: Count = 0
    """Attempts ended by eviction, preemption, suspension or a lost node; not bounded."""


Metrics = Annotated[dict[str, Decimal], Field(max_length=16)]
"""Measured on held-out data, by the names of spec.evaluation.metrics."""


class Evaluation(ApiModel):
    """The same measurement of both models."""

    base: Metrics
    """The model as it was."""
    tuned: Metrics
    """The model as it is now."""
    gates_passed: bool | None = None
    """Whether every gate of spec.evaluation.gates holds; absent without gates."""


class Artifact(ApiModel):
    """Something that was pushed."""

    kind: ArtifactKind
    """Adapter, or Model: a whole model; the others as spec.output.exports names them."""
    uri: Text
    """`oci://registry/repository@sha256:…`."""
    bytes: Count
    """Size of the image."""


class Published(ApiModel):
    """Where the result answers."""

    revision: Text | None = None
    """InferenceRevision, or KAITO Workspace."""
    endpoint: Text | None = None
    """Base URL of the OpenAI-compatible API."""


class FineTuneJobStatus(ApiModel):
    """Written by the operator."""

    observed_generation: Count | None = None
    """metadata.generation that this status speaks of."""
    phase: Phase | None = None
    """Pending, Preparing, Queued, Training, Publishing, Suspended, Succeeded or Failed."""
    conditions: Conditions = ()
    """Accepted, Admitted, NodesReady, Started, Trained, Evaluated, Published, Suspended,
    Succeeded, Failed; and Reconciling and Stalled, as kstatus reads them."""
    resolved: Resolved | None = None
    """What names stood for."""
    plan: Plan | None = None
    """How it is carried out."""
    place: Text | None = None
    """Place in the line while it waits for its turn, such as 2/5; beyond 20 in round numbers."""
    progress: Progress | None = None
    """How far it is."""
    attempts: Attempts | None = None
    """How often it was started."""
    evaluation: Evaluation | None = None
    """What base and tuned model score on held-out data; Loss is the mean cross-entropy in nats."""
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=8)] = ()
    """What was pushed."""
    published: Published | None = None
    """Where it answers."""
