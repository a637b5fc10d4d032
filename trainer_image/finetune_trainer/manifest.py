"""What the containers say about their work: progress, termination messages, completion manifest.

The operator imports these models: pydantic only. JSON is camelCase, as in the FineTuneJob.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_trainer.frozen import Frozen
from finetune_trainer.recipe import Export, JobIdentity

DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
DECIMAL_PATTERN = r"^-?[0-9]+(\.[0-9]+)?$"

TERMINATION_MESSAGE_LIMIT = 4096
"""Bytes; the kubelet cuts a longer message."""


class Stage(StrEnum):
    """What the train container is doing."""

    LOADING = "Loading"
    TRAINING = "Training"
    EVALUATING = "Evaluating"
    EXPORTING = "Exporting"


class ArtifactKind(StrEnum):
    """What was trained (an adapter for the base model, or a whole model), and what was made of
    it, by the names of recipe.Export."""

    ADAPTER = "Adapter"
    MODEL = "Model"
    MERGED = "Merged"
    ONNX = "ONNX"
    ONNX_ADAPTER = "ONNXAdapter"
    ONNX_INT8 = "ONNXInt8"
    AI_TOOLKIT = "AIToolkit"
    GGUF = "GGUF"

    @property
    def folder(self) -> str:
        """Its place in output/, and what the tag of its image ends in: onnx-int8 of ONNXInt8."""
        return _FOLDERS[self]


_FOLDERS = {
    ArtifactKind.ADAPTER: "adapter",
    ArtifactKind.MODEL: "model",
    ArtifactKind.MERGED: "merged",
    ArtifactKind.ONNX: "onnx",
    ArtifactKind.ONNX_ADAPTER: "onnx-adapter",
    ArtifactKind.ONNX_INT8: "onnx-int8",
    ArtifactKind.AI_TOOLKIT: "ai-toolkit",
    ArtifactKind.GGUF: "gguf",
}


class Progress(Frozen):
    """Posted by rank 0 every few seconds; never needed for correctness."""

    attempt: int = Field(ge=1)
    stage: Stage
    step: int = Field(ge=0)
    total_steps: int = Field(ge=0)
    loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    remaining_seconds: int | None = None


class Failure(Frozen):
    """How a command failed: `reason` is that of the exit code."""

    reason: str
    message: str
    step: int | None = None
    """The checkpoint that was saved, when reason is Preempted."""


class Fetched(Frozen):
    """End of `fetch`."""

    digest: str = Field(pattern=DIGEST_PATTERN)
    revision: str = ""
    """The commit or digest that the given revision or tag resolved to; empty if there is none."""
    without_cache: str | None = None
    """Why the model cache was given and not used."""


class FetchedInput(Fetched):
    """inputs/<name>.json: written last, its presence means that inputs/<name>/ is complete."""

    storage_uri: str
    requested_revision: str
    """As the user gave it; `revision` is what it resolved to at that time."""
    cached: str = ""
    """Path of the folder, where it lies in the model cache and not in inputs/<name>/."""


class Lengths(Frozen):
    """Tokens of the examples, before truncation."""

    median: int
    p90: int
    maximum: int
    truncated: int
    """Examples longer than training.maxLength, cut at their end."""
    dropped: int
    """Examples of which nothing that the model is to say lies within training.maxLength."""


class Leak(Frozen):
    """A held-out example and one to learn from that says the same, by file and line."""

    held_out: str
    learned: str


class Leaks(Frozen):
    """Held-out examples that are learned too: see data/leakage.py."""

    exact: int
    """Word for word."""
    near: int
    """Most of their runs of words."""
    first: list[Leak]
    """Some of them."""

    @property
    def message(self) -> str:
        """For people; empty when there are none."""
        if not self.first:
            return ""
        places = ", ".join(f"{each.held_out} = {each.learned}" for each in self.first)
        return (
            f"{self.exact + self.near} held-out examples are in dataset.train too ({self.exact}"
            f" word for word, {self.near} nearly: {places}), so that what is measured on them is"
            " too good: take them out of one side"
        )


class Checked(Frozen):
    """End of `check`; also prepared.json."""

    dataset_digest: str = Field(pattern=DIGEST_PATTERN)
    dataset_format: str
    train_examples: int
    validation_examples: int
    train_tokens: int
    supervised_tokens: int
    lengths: Lengths
    steps_per_epoch: int
    total_steps: int
    leaks: Leaks


Metrics = dict[str, Annotated[str, Field(pattern=DECIMAL_PATTERN)]]
"""Results on held-out data as decimal strings, by the name that FineTuneJob's evaluation has for
them; Loss is always there."""


class Evaluation(Frozen):
    """The same measurement of the base model and of the tuned one."""

    base: Metrics
    tuned: Metrics
    warning: str = ""
    """Why the numbers cannot be trusted."""


class Best(Frozen):
    """Whose weights are the result, where evaluations along the way have chosen."""

    step: int
    metric: str
    value: str = Field(pattern=DECIMAL_PATTERN)


class Trained(Frozen):
    """End of `train` on rank 0."""

    step: int
    """The last one; before `total_steps` where training was stopped early."""
    total_steps: int
    loss: float
    """Mean loss of the last optimizer steps that were logged."""
    evaluation: Evaluation | None = None
    """None when nothing was held out."""
    best: Best | None = None
    """None: the result is what the last step left."""
    completion_digest: str = Field(pattern=DIGEST_PATTERN)
    """sha256 of completion.json."""


class Pushed(Frozen):
    """One image."""

    kind: ArtifactKind
    digest: str = Field(pattern=DIGEST_PATTERN)
    bytes: int


class Published(Frozen):
    """End of `publish`; repeats what `train` said, so that a lost train pod loses nothing."""

    repository: str
    """oci://host/repository; said once, because a termination message is short."""
    images: list[Pushed]
    """What was trained comes first."""
    completion: Trained
    unrecorded: str = ""
    """Why it cannot be found again by what decided it; empty where it can, or nobody asked."""

    def uri(self, image: Pushed) -> str:
        """oci://host/repository@sha256:…"""
        return f"{self.repository}@{image.digest}"


class Looked(Frozen):
    """End of `reuse`."""

    found: Published | None = None
    """An earlier result that was verified, and has the names that this job asks for."""
    job: str = ""
    """`namespace/name` of the job that has trained it."""
    problem: str = ""
    """Why what is there cannot be used; empty where there is nothing, or it can."""


class FileDigest(Frozen):
    """A file of output/, its path relative to output/ with forward slashes."""

    path: str
    bytes: int
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Exported(Frozen):
    """Something that was made of what was trained, in a folder of its own."""

    kind: ArtifactKind
    figures: dict[str, float]
    """What was measured of it, by name: see docs/exports.md."""


class CompletionManifest(Frozen):
    """output/completion.json: its presence means that training is complete. It is written again
    with each export; all that the recipe asks for is there when all of them are named."""

    job: JobIdentity
    attempt: int
    kind: ArtifactKind
    base_model: str
    """storageUri of the base model."""
    base_model_revision: str
    base_model_digest: str
    adapter: str = ""
    """URI of the adapter that training went on from; empty if there was none."""
    adapter_digest: str = ""
    recipe_digest: str = Field(pattern=DIGEST_PATTERN)
    dataset_digest: str = Field(pattern=DIGEST_PATTERN)
    step: int
    total_steps: int
    loss: float
    evaluation: Evaluation | None
    best: Best | None = None
    divergence: float | None = None
    """After training on a quantized model: mean KL divergence in nats a token of what is served
    (the adapter on the unquantized model), which `evaluation` is of, from what was trained."""
    exports: list[Exported] = Field(default_factory=list)
    files: list[FileDigest]

    def missing(self, wanted: Sequence[Export]) -> list[Export]:
        """Which of these have not been made yet."""
        made = {each.kind.value for each in self.exports}
        return [each for each in wanted if each.value not in made]


class Part(Frozen):
    """Some text of an example, and whether the model is taught to say it."""

    text: str
    learned: bool


class ShownExample(Frozen):
    """One example as the model sees it."""

    tokens: int
    parts: list[Part]


class Bin(Frozen):
    """A column of a histogram of lengths."""

    up_to: int
    """Tokens, inclusive; the lower end is the bin before."""
    examples: int


class Inspected(Frozen):
    """End of `inspect`: what the trainer sees of a data file."""

    dataset_format: str
    examples: int
    tokens: int
    learned_tokens: int
    lengths: Lengths
    histogram: list[Bin]
    duplicates: int
    """Records that are the same as an earlier one."""
    shown: list[ShownExample]
