"""What the operator reports about a FineTuneJob."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.conditions import Conditions, ObservedGeneration
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
    PREPARING = (
        "Preparing",
        Verdict.IN_PROGRESS,
        "Model and data are fetched and checked; an earlier result is looked for.",
    )
    QUEUED = "Queued", Verdict.IN_PROGRESS, "Waits for its turn, or for nodes."
    TRAINING = "Training", Verdict.IN_PROGRESS, "The pods of an attempt run."
    PUBLISHING = "Publishing", Verdict.IN_PROGRESS, "Trained; the result is pushed and published."
    SUSPENDED = (
        "Suspended",
        Verdict.CURRENT,
        "spec.suspend is obeyed; false goes on from the last checkpoint. With the budget used up:"
        " see condition Suspended; kstatus then says Failed.",
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
    model_cache: Text | None = None
    """PersistentVolumeClaim in which the model lies; absent where it is the job's own volume."""


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
    instance_type: Text | None = None
    """Machine that is asked for first; absent where any will do."""
    alternatives: Annotated[tuple[Text, ...], Field(max_length=32)] = ()
    """Machines that are asked for where that one cannot be had, in order."""
    memory_per_gpu: Text | None = Field(default=None, alias="memoryPerGPU")
    """What training takes of each GPU of that machine, at most, such as 31Gi; absent where the
    model or the machine is not known before."""
    hourly_price: Decimal | None = None
    """What all nodes cost an hour, if they are of that machine."""
    price_source: Text | None = None
    """Where that price is from, such as `table 2026-06 eastus`."""
    estimated_duration_seconds: Count | None = None
    """Seconds of training. Before it runs: absent where the steps are not counted yet, or none like
    them was ever measured on that machine. Then by its own pace: what is done and what is left."""
    estimated_cost: Decimal | None = None
    """What the nodes cost in that time; once it runs, what they have cost so far and will cost.
    Rounded up to a hundredth."""

    @property
    def instance_types(self) -> tuple[str, ...]:
        """All machines that are asked for, in order; empty where any will do."""
        return (self.instance_type, *self.alternatives) if self.instance_type else ()


class Progress(ApiModel):
    """How far training is; written at most every 10 seconds."""

    step: Count
    """Optimizer steps done."""
    total_steps: Count
    """Optimizer steps of the whole training."""
    steps: Text
    """The two of them, such as 420/1800; with `(reused)` where an earlier job has done them."""
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


class Ended(ApiModel):
    """How an attempt ended; kept when its pods are gone."""

    number: Count
    """Of the attempt."""
    reason: Text
    """Why, in one word."""
    message: Text
    """Why, for people."""
    log: Annotated[str, Field(max_length=4096)] = ""
    """The last lines that the pod printed which tells most; empty where it was gone already."""
    time: Time
    """When it was seen."""


class Attempts(ApiModel):
    """How often training was started."""

    current: Count = 0
    """Number of the attempt, from 1; 0 before the first."""
    nodes: Count | None = None
    """Nodes of the attempt, where they are fewer than compute.nodes because the others did not come
    back."""
    failures: Count = 0
    """Attempts that failed; spec.restarts.limit bounds them."""
    disruptions: Count = 0
    """Attempts ended by eviction, preemption, suspension or a lost node; bounded only in an
    hour."""
    recent_disruptions: Annotated[tuple[Time, ...], Field(max_length=16)] | None = None
    """When the nodes were taken away within the last hour; more than ten count as failures.
    Absent: not once."""
    last: Ended | None = None
    """The last that ended without a result."""


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


class Unavailable(ApiModel):
    """Machines that the provider does not give for now."""

    instance_type: Text
    """Of the machine."""
    capacity_type: Literal["OnDemand", "Spot"]
    """How it was asked for."""
    reason: Text
    """Why, in one word."""
    message: Text
    """The provider's own words."""
    until: Time
    """When it is asked for again."""


class Nodes(ApiModel):
    """What the job holds of a provider, and what it was not given."""

    instance_type: Text | None = None
    """Machine of the nodes that are held or being made."""
    capacity_type: Literal["OnDemand", "Spot"] | None = None
    """How they are paid for."""
    unavailable: Annotated[tuple[Unavailable, ...], Field(max_length=32)] = ()
    """What is not asked for at present."""
    missing_since: Time | None = None
    """Since when an attempt that might start with fewer waits for all nodes."""


class Charge(ApiModel):
    """Nodes of one kind, and for how long they were held."""

    instance_type: Text | None = None
    """Machine; absent of nodes that were there already."""
    capacity_type: Literal["OnDemand", "Spot"] | None = None
    """How they are paid for."""
    nodes: Count
    """How many at a time."""
    hourly_price: Decimal | None = None
    """Of one of them, when the job first held it; absent where it is not known."""
    seconds: Count = 0
    """For how long they were held."""
    idle_seconds: Count = 0
    """Of that, while no attempt was training."""


class Cost(ApiModel):
    """What the job's nodes cost: those that were got for it."""

    currency: Text
    """Of the amounts."""
    spent: Decimal | None = None
    """Up to updatedAt, rounded up to a hundredth; absent where no price is known."""
    idle: Decimal | None = None
    """Of that, while no attempt was training: nodes that start, load, or wait to go."""
    charges: Annotated[tuple[Charge, ...], Field(max_length=64)] = ()
    """What it is the sum of."""
    updated_at: Time
    """Up to when it is counted."""


class Published(ApiModel):
    """Where the result answers."""

    revision: Text | None = None
    """InferenceRevision, or KAITO Workspace."""
    endpoint: Text | None = None
    """Base URL of the OpenAI-compatible API."""


class FineTuneJobStatus(ApiModel):
    """Written by the operator."""

    observed_generation: ObservedGeneration | None = None
    """metadata.generation that this status speaks of; -1 until the operator has looked."""
    phase: Phase | None = None
    """Pending, Preparing, Queued, Training, Publishing, Suspended, Succeeded or Failed."""
    conditions: Conditions = ()
    """Accepted, Admitted, NodesReady, Started, Trained, Evaluated, Published, Suspended,
    Succeeded, Failed; and Reconciling and Stalled, as kstatus reads them."""
    resolved: Resolved | None = None
    """What names stood for."""
    plan: Plan | None = None
    """How it is carried out."""
    nodes: Nodes | None = None
    """What it holds of a provider; absent where nodes are there already."""
    place: Text | None = None
    """Place in the line while it waits for its turn, such as 2/5; beyond 20 in round numbers."""
    progress: Progress | None = None
    """How far it is."""
    attempts: Attempts | None = None
    """How often it was started."""
    cost: Cost | None = None
    """What its nodes cost; absent before it held any."""
    evaluation: Evaluation | None = None
    """What base and tuned model score on held-out data; Loss is the mean cross-entropy in nats."""
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=8)] = ()
    """What was pushed."""
    published: Published | None = None
    """Where it answers."""
