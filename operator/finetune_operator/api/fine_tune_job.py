"""FineTuneJob: one training of one model, from sources to an answer."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.budget import Budget
from finetune_operator.api.cel import Matches, Rule
from finetune_operator.api.compute import Checkpoint, Compute, Restarts
from finetune_operator.api.dataset import Dataset
from finetune_operator.api.distribution import Distribution
from finetune_operator.api.evaluation import Evaluation
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus
from finetune_operator.api.job_rules import (
    combinations,
    task_and_columns,
    task_and_format,
    task_and_metrics,
)
from finetune_operator.api.method import Method, Quantization
from finetune_operator.api.output import Output, Publish
from finetune_operator.api.preference import Preference
from finetune_operator.api.resource import Kind, PrinterColumn, Resource, name_rule
from finetune_operator.api.rules_in_one import rules_in_one
from finetune_operator.api.sources import TrainedModelSource
from finetune_operator.api.text import ManagedBy, Name
from finetune_operator.api.training import Training
from finetune_trainer.recipe import Task
from finetune_trainer.rules import (
    ADAPTER_REFUSED_BY_FULL,
    ADAPTER_REFUSED_BY_INITIALIZATION,
    ADAPTER_REFUSED_BY_ZERO3,
    KEPT_WITHOUT_INTERVAL,
    TEMPLATE_REFUSED,
    TEMPLATED,
    TRANSLATION_REFUSED,
    WITHOUT_WEIGHT_DECAY,
    weight_decay_refused,
)

Language = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Matches(r"^[^\x00-\x1f]+$", "must be the name of a language on one line, such as German"),
]


class Translation(ApiModel):
    """The prompt is `Translate from SOURCE into TARGET:`, a blank line, and the text; a language
    that is not given is not named."""

    source_language: Language | None = None
    """Such as German. Absent: not named."""
    target_language: Language | None = None
    """Such as English. Absent: not named."""


class ReusePolicy(StrEnum):
    """Whether an earlier result will do."""

    IF_UNCHANGED = "IfUnchanged"
    ALWAYS = "Always"


class FineTuneJobSpec(ApiModel):
    """What is to be trained, on what, where, and where the result goes."""

    model_config = ConfigDict(
        json_schema_extra=rules_in_one(
            "not everything can be chosen with everything: docs/combinations.md",
            Rule(
                "self.compute.nodes <= 1"
                " || 'ReadWriteMany' in self.checkpoint.volumeClaim.accessModes",
                "compute.nodes is more than 1, so the volume must be shared: set"
                " checkpoint.volumeClaim.accessModes to [ReadWriteMany] with a storageClassName"
                " that offers it, or compute.nodes to 1",
                field=".checkpoint.volumeClaim.accessModes",
            ),
            Rule(
                # A zero is refused at its own field and must not divide here.
                "self.compute.nodes < 1 || self.compute.gpusPerNode < 1"
                " || self.training.maxLength < 1"
                " || (self.training.tokensPerBatch / self.training.maxLength)"
                " % (self.compute.nodes"
                " * (self.compute.device == 'GPU' ? self.compute.gpusPerNode : 1)) == 0",
                "the sequences of a batch (training.tokensPerBatch / training.maxLength) must be a"
                " multiple of compute.nodes (times compute.gpusPerNode on GPU), so that every"
                " process has as many: change training.tokensPerBatch",
                field=".training.tokensPerBatch",
            ),
            Rule(
                "self.publish.type != 'KAITO' || self.model.storageUri.startsWith('hf://')",
                "KAITO fetches the base model by its Hugging Face name: set model.storageUri to"
                " hf://owner/name, or publish to type Workspace",
                field=".publish.type",
            ),
            *(
                Rule(
                    f"self.method.type != '{method}' || !has(self.training.weightDecay)"
                    " || self.training.weightDecay.matches('^0?[.]?0*$')",
                    weight_decay_refused(method),
                    field=".training.weightDecay",
                )
                for method in WITHOUT_WEIGHT_DECAY
            ),
            Rule(
                "self.publish.type == 'None' || 'Adapter' in self.output.exports",
                "what is served is what was trained: name Adapter in output.exports, or set"
                " publish.type None",
                field=".output.exports",
            ),
            Rule(
                "self.method.type != 'Full' || !has(self.model.adapterUri)",
                ADAPTER_REFUSED_BY_FULL,
                field=".model.adapterUri",
            ),
            Rule(
                "!has(self.model.adapterUri) || self.distribution.strategy != 'ZeRO3'",
                ADAPTER_REFUSED_BY_ZERO3,
                field=".model.adapterUri",
            ),
            Rule(
                "!has(self.model.adapterUri) || !has(self.method.lora)"
                " || self.method.lora.initialization == 'Default'",
                ADAPTER_REFUSED_BY_INITIALIZATION,
                field=".method.lora.initialization",
            ),
            Rule(
                "self.task == 'Preference' || !has(self.preference)",
                "preference is for task Preference only: remove it, or set task: Preference",
                field=".preference",
            ),
            Rule(
                "!has(self.training.earlyStopping) || has(self.evaluation.intervalSteps)",
                KEPT_WITHOUT_INTERVAL,
                field=".training.earlyStopping",
            ),
            Rule(
                "!has(self.training.earlyStopping) || !has(self.evaluation.keepBest)"
                " || self.evaluation.keepBest",
                "training.earlyStopping keeps the best: remove evaluation.keepBest or"
                " training.earlyStopping",
                field=".evaluation.keepBest",
            ),
            *task_and_metrics(),
            *combinations(),
            task_and_format(),
            *task_and_columns(),
            Rule(
                "!has(self.dataset.chatTemplate)"
                f" || self.task in [{', '.join(repr(task.value) for task in TEMPLATED)}]",
                TEMPLATE_REFUSED,
                field=".dataset.chatTemplate",
            ),
            Rule(
                f"self.task == '{Task.TRANSLATION}' || !has(self.translation)",
                TRANSLATION_REFUSED,
                field=".translation",
            ),
        )
    )

    class_name: Name = "default"
    """FineTuneClass: images, and what the platform team allows. Default: default."""
    model: TrainedModelSource
    """The base model, and an adapter to go on from."""
    task: Task
    """What the model is taught: Chat (conversations; every turn of the assistant), Instruction
    (an instruction and its answer), Completion (plain text, every token), QuestionAnswering (a
    question, if need be with the text that it is about, and a short answer), Translation (a
    text and the same in another language), ExtractiveQuestionAnswering (which part of a text
    answers a question), TextClassification (the class of a text), TokenClassification (the
    entities in a sentence) or Preference (which replies are preferred to others). The three before
    the last are for models such as BERT; texts and words are
    classified by decoders too."""
    translation: Translation | None = None
    """What the prompt of task Translation names. Absent: no language."""
    dataset: Dataset
    """What it learns from and is measured on."""
    method: Method = Method()
    """Which parameters are trained."""
    quantization: Quantization = Quantization()
    """How the parameters that are not trained are held."""
    preference: Preference | None = None
    """Settings of task Preference. Absent: their defaults."""
    training: Training = Training()
    """How long, how fast and in what portions is learned."""
    compute: Compute = Compute()
    """Where it runs."""
    distribution: Distribution = Distribution()
    """How the processes share memory."""
    checkpoint: Checkpoint = Checkpoint()
    """What is lost at most when a pod is killed."""
    restarts: Restarts = Restarts()
    """How often training starts again by itself."""
    budget: Budget = Budget()
    """What it may cost and how long it may take."""
    evaluation: Evaluation = Evaluation()
    """What is measured on held-out data, and what follows from it."""
    output: Output
    """The image that the result is pushed as."""
    publish: Publish = Publish()
    """Who serves the result."""
    reuse_policy: ReusePolicy = ReusePolicy.IF_UNCHANGED
    """IfUnchanged: where output's repository holds the result of the same recipe, model, data and
    trainer image, whichever job has trained it, that is verified and published, and nothing is
    trained. Always: it is trained. Default: IfUnchanged."""
    managed_by: ManagedBy | None = None
    """Controller that carries the job out, such as kueue.x-k8s.io/multikueue, which hands it to
    another cluster: this operator then neither acts on it nor writes its status, as Kubernetes
    leaves alone a Job whose spec.managedBy names another controller. Cannot be changed. Absent or
    finetune.dev/finetune-operator: this operator."""
    suspend: bool = False
    """True: save a checkpoint and give the nodes back; false again: go on from there.
    Default: false."""
    cleanup_after_seconds: Annotated[int, Field(ge=0, le=315_360_000)] | None = None
    """Seconds after the end at which pods, Jobs and the volume are removed; never this object.
    Absent: they stay until the job is deleted."""


MANAGED_HERE = (None, "", "finetune.dev/finetune-operator")
"""Values of spec.managedBy that leave a job to this operator."""

ALWAYS_MUTABLE = frozenset({"suspend", "budget", "cleanupAfterSeconds"})

_FIXED = (
    "has(oldSelf.status) && has(oldSelf.status.conditions)"
    " && oldSelf.status.conditions.exists(c, c.type == 'Accepted' && c.status == 'True')"
    " && !(oldSelf.spec.suspend"
    " && !oldSelf.status.conditions.exists(c, c.type == 'Started' && c.status == 'True'))"
)
"""Whether spec may change no more: accepted, and not (suspended and never started)."""
_FIXED_MESSAGE = (
    "cannot change once the job is accepted (only suspend, budget and cleanupAfterSeconds can):"
    " delete the job and create it again, or create another one"
)


def _fixed(field: str, *, optional: bool) -> Rule:
    now, before = f"self.spec.{field}", f"oldSelf.spec.{field}"
    # CEL has no value of what is absent.
    absent = f"!has({now}) && !has({before}) || has({now}) && has({before}) && "
    return Rule(
        f"{absent if optional else ''}{now} == {before}",
        f"{field} {_FIXED_MESSAGE}",
        field=f".spec.{field}",
        only_if=_FIXED,
    )


class FineTuneJob(Kind):
    """One training of one model: fetched, trained, kept alive, measured, pushed and published.
    Creating one is as powerful as creating a Pod in its namespace."""

    model_config = ConfigDict(
        json_schema_extra=rules_in_one(
            f"what is to be done {_FIXED_MESSAGE}",
            name_rule(48, "the names of Jobs and Services are made from it"),
            *(
                _fixed(field.alias or name, optional=field.default is None)
                for name, field in FineTuneJobSpec.model_fields.items()
                if (field.alias or name) not in {*ALWAYS_MUTABLE, "managedBy"}
            ),
            Rule(
                "(has(self.spec.managedBy) ? self.spec.managedBy : '')"
                " == (has(oldSelf.spec.managedBy) ? oldSelf.spec.managedBy : '')",
                "managedBy cannot change, since two controllers would then act on one job: delete"
                " the job and create it again",
                field=".spec.managedBy",
            ),
        )
    )

    resource: ClassVar[Resource] = Resource(
        plural="finetunejobs",
        short_names=("ftj",),
        columns=(
            PrinterColumn("Phase", ".status.phase"),
            PrinterColumn("Method", ".status.plan.method"),
            PrinterColumn("Steps", ".status.progress.steps"),
            PrinterColumn("Loss", ".status.progress.loss"),
            PrinterColumn("Remaining", ".status.progress.remaining"),
            PrinterColumn("Age", ".metadata.creationTimestamp", type="date"),
            PrinterColumn("Nodes", ".spec.compute.nodes", type="integer", wide=True),
            PrinterColumn("Cost", ".status.cost.spent", wide=True),
            PrinterColumn("Attempt", ".status.attempts.current", type="integer", wide=True),
            PrinterColumn("Place", ".status.place", wide=True),
            PrinterColumn("Artifact", ".status.artifacts[0].uri", wide=True),
        ),
    )

    api_version: Literal["finetune.dev/v1beta1"] = "finetune.dev/v1beta1"
    kind: Literal["FineTuneJob"] = "FineTuneJob"
    spec: FineTuneJobSpec
    """What is to be done."""
    status: FineTuneJobStatus = FineTuneJobStatus()
    """How it goes."""
