"""The recipe: exactly what one run does. The operator writes it, the trainer obeys it.

Spelled as in the FineTuneJob (camelCase in JSON), but with every choice made: no `Auto` that only
a cluster could answer, no default left open. Only `precision: Auto` stays a word, because nothing
but the container sees which number formats its processor has.

This package is imported by the operator: pydantic only.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr, ValidationError, model_validator

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.frozen import Frozen
from finetune_trainer.recipe.compute import (
    Checkpoint,
    Compute,
    Device,
    Distribution,
    Offload,
    Passes,
    Strategy,
)
from finetune_trainer.recipe.dataset import (
    Columns,
    Dataset,
    DatasetFormat,
    Source,
)
from finetune_trainer.recipe.method import (
    IA3,
    METHOD_OF_MEMBER,
    DoRA,
    Initialization,
    LoRA,
    LowRank,
    Method,
    MethodType,
    PromptTuning,
    Quantization,
    QuantizationType,
    TargetModulesPreset,
    Targets,
    VeRA,
    method_name,
)
from finetune_trainer.recipe.result import (
    Evaluation,
    Export,
    Gate,
    Metric,
    Output,
)
from finetune_trainer.recipe.task import (
    JobIdentity,
    Model,
    Preference,
    PreferenceLoss,
    Task,
    Translation,
)
from finetune_trainer.recipe.training import (
    ClassWeights,
    EarlyStopping,
    Optimizer,
    Precision,
    Schedule,
    Training,
)

__all__ = [
    "IA3",
    "METHOD_OF_MEMBER",
    "Checkpoint",
    "ClassWeights",
    "Columns",
    "Compute",
    "Dataset",
    "DatasetFormat",
    "Device",
    "Distribution",
    "DoRA",
    "EarlyStopping",
    "Evaluation",
    "Export",
    "Gate",
    "Initialization",
    "JobIdentity",
    "LoRA",
    "LowRank",
    "Method",
    "MethodType",
    "Metric",
    "Model",
    "Offload",
    "Optimizer",
    "Output",
    "Passes",
    "Precision",
    "Preference",
    "PreferenceLoss",
    "PromptTuning",
    "Quantization",
    "QuantizationType",
    "Recipe",
    "Schedule",
    "Source",
    "Strategy",
    "TargetModulesPreset",
    "Targets",
    "Task",
    "Training",
    "Translation",
    "VeRA",
    "method_name",
    "read_recipe",
]


class Recipe(Frozen):
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
    _accepted: str = PrivateAttr(default="")
    """The digest of the recipe that this one carries out on fewer nodes; empty: its own."""

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
    def strategies(self) -> tuple[Strategy, ...]:
        """The one that is carried out, and what is taken where that does not fit: a process without
        others has nobody to share with, unless a part of its own lies in the host's memory."""
        if self.compute.world_size == 1 and self.distribution.offload is Offload.NONE:
            return (Strategy.DATA_PARALLEL,)
        return (self.distribution.strategy, *self.distribution.fallbacks)

    @property
    def strategy(self) -> Strategy:
        """The one that is carried out, once it is chosen."""
        return self.strategies[0]

    def canonical_json(self) -> str:
        """The same text for the same recipe, whoever writes it."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def on(self, nodes: int) -> Self:
        """The same run on fewer nodes: with the same batches and, but for what dropout draws, the
        same result, which goes by the digest of the whole. How a process does its share is left to
        be found out where it trains."""
        compute = self.compute.model_copy(update={"nodes": nodes, "passes": None})
        made = self.model_copy(update={"compute": compute})
        made._accepted = self.digest()
        return made

    def digest(self) -> str:
        """`sha256:…` of the whole recipe."""
        return self._accepted or _digest(self.model_dump(mode="json"))

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

    def result_digest(self) -> str:
        """`sha256:…` of what decides the result and what is measured of it, but for the contents of
        what is fetched: those have digests of their own.

        Left out: who runs it, on what, when checkpoints are written, what is made of the result,
        where data lies and by which name a revision was asked for; and the gates, which decide
        nothing before there is a result.
        """
        without: dict[str, Any] = {
            **dict.fromkeys(("job", "compute", "distribution", "checkpoint", "output"), True),
            "model": {"revision", "adapter_revision"},
            "dataset": {each: {"__all__": {"storage_uri"}} for each in ("train", "validation")},
            "evaluation": {"gates"},
        }
        return _digest(self.model_dump(mode="json", exclude=without))


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def read_recipe(path: Path) -> Recipe:
    """Read and check the recipe file. PET_NNODES says on how many nodes this attempt is carried
    out, where it is one of several.

    Raises:
        ConfigurationError: the file is missing, not JSON, or not a recipe; names each field.
    """
    try:
        recipe = Recipe.model_validate_json(path.read_bytes())
        nodes = int(os.environ.get("PET_NNODES", recipe.compute.nodes))
        return recipe.on(nodes) if nodes < recipe.compute.nodes else recipe
    except OSError as error:
        raise ConfigurationError(f"cannot read the recipe {path}: {error.strerror}") from error
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'recipe'}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        raise ConfigurationError(f"{path.name} is not a recipe: {details}") from error
