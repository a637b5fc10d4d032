"""FineTuneJob + resolved device → Recipe: every default filled in, nothing left to decide."""

from typing import Any

from finetune_operator.api.dataset import DEFAULT_VALIDATION_FRACTION, Dataset
from finetune_operator.api.distribution import StrategyChoice
from finetune_operator.api.evaluation import Evaluation
from finetune_operator.api.fine_tune_job import FineTuneJob, FineTuneJobSpec
from finetune_operator.api.method import (
    IA3,
    DoRA,
    LoRA,
    LowRank,
    Method,
    PromptTuning,
    Targets,
    VeRA,
)
from finetune_operator.api.preference import Preference
from finetune_operator.api.training import Training
from finetune_trainer import recipe, rules
from finetune_trainer.recipe import Device, Export, MethodType, Offload, Recipe, Strategy, Task
from finetune_trainer.rules import TASK_METRICS

DEFAULT_LEARNING_RATE = {
    MethodType.LORA: "2e-4",
    MethodType.DORA: "2e-4",
    MethodType.IA3: "3e-3",
    MethodType.VERA: "4e-3",
    MethodType.PROMPT_TUNING: "1e-2",
    MethodType.FULL: "2e-5",
}
"""The fewer numbers are trained, the further each has to go. From the methods' own papers, for
instruction tuning: QLoRA (LoRA, 7 to 13 billion parameters), DoRA, T-Few (IA3), VeRA, and Alpaca
(Full). PromptTuning: below the 3e-2 of PEFT's guide, which is for a model of 0.6 billion."""

PREFERENCE_LEARNING_RATE = {
    MethodType.LORA: "5e-6",
    MethodType.DORA: "5e-6",
    MethodType.IA3: "7.5e-5",
    MethodType.VERA: "1e-4",
    MethodType.PROMPT_TUNING: "2.5e-4",
    MethodType.FULL: "5e-7",
}
"""Of task Preference, which forgets at the rates of the others. LoRA and Full: of Zephyr's DPO
recipes, 7 billion parameters; both are a fortieth of the rate above, and so are the rest."""


def build_recipe(job: FineTuneJob, device: Device) -> Recipe:
    """What exactly a run of this job does; `finetune_trainer.rules.problems` judges it.

    Args:
        job: as stored, so with the defaults of the CRD.
        device: what compute.device stands for in this cluster.
    """
    made = _as_asked(job, device)
    first, *rest = _strategies(job, made) or (Strategy.DATA_PARALLEL,)
    distribution = made.distribution.model_copy(
        update={"strategy": first, "fallbacks": tuple(rest)}
    )
    return made.model_copy(update={"distribution": distribution})


def _strategies(job: FineTuneJob, made: Recipe) -> tuple[Strategy, ...]:
    """What distribution.strategy leaves to choose from, the fastest first."""
    wanted = job.spec.distribution.strategy
    if made.compute.world_size == 1 and made.distribution.offload is Offload.NONE:
        return (Strategy.DATA_PARALLEL,)  # a process alone has nobody to share with
    if wanted is StrategyChoice.AUTO:
        return rules.strategies(made)
    return (Strategy(wanted.value),)


def _as_asked(job: FineTuneJob, device: Device) -> Recipe:
    """But for the strategy."""
    spec = job.spec
    return Recipe(
        job=recipe.JobIdentity(
            namespace=job.metadata.namespace,
            name=job.metadata.name,
            generation=job.metadata.generation,
        ),
        model=recipe.Model(
            storage_uri=spec.model.storage_uri,
            revision=spec.model.revision or "",
            adapter_uri=spec.model.adapter_uri or "",
            adapter_revision=spec.model.adapter_revision or "",
        ),
        task=spec.task,
        translation=recipe.Translation.model_validate(
            spec.translation.to_dict() if spec.translation else {}
        ),
        dataset=_dataset(spec.dataset),
        method=_method(spec.method),
        quantization=recipe.Quantization(type=spec.quantization.type),
        preference=_preference(spec.preference) if spec.task is Task.PREFERENCE else None,
        training=_training(spec.training, spec.method.type, spec.task),
        compute=recipe.Compute(
            device=device,
            nodes=spec.compute.nodes,
            gpus_per_node=spec.compute.gpus_per_node if device is Device.GPU else 0,
        ),
        distribution=recipe.Distribution(offload=spec.distribution.offload),
        checkpoint=recipe.Checkpoint(
            interval_steps=spec.checkpoint.interval_steps,
            interval_seconds=spec.checkpoint.interval_seconds,
            keep=spec.checkpoint.keep,
        ),
        evaluation=_evaluation(spec),
        output=recipe.Output(exports=[each for each in Export if each in spec.output.exports]),
    )


def _dataset(dataset: Dataset) -> recipe.Dataset:
    held_out = dataset.validation or ()
    fraction = "0" if held_out else dataset.validation_fraction or DEFAULT_VALIDATION_FRACTION
    return recipe.Dataset(
        train=[
            recipe.Source(
                storage_uri=source.storage_uri,
                weight=float(source.weight) if source.weight else None,
            )
            for source in dataset.train
        ],
        validation=[recipe.Source(storage_uri=source.storage_uri) for source in held_out],
        validation_fraction=float(fraction),
        format=dataset.format,
        chat_template=dataset.chat_template or "",
        columns=recipe.Columns.model_validate(dataset.columns.to_dict())
        if dataset.columns
        else recipe.Columns(),
    )


def _method(method: Method) -> recipe.Method:
    kind = method.type
    match kind:
        case MethodType.LORA:
            lora = method.lora or LoRA()
            made = recipe.LoRA(**_low_rank(lora), initialization=lora.initialization)
            return recipe.Method(type=kind, lora=made)
        case MethodType.DORA:
            return recipe.Method(type=kind, dora=recipe.DoRA(**_low_rank(method.dora or DoRA())))
        case MethodType.IA3:
            return recipe.Method(type=kind, ia3=recipe.IA3(**_targets(method.ia3 or IA3())))
        case MethodType.VERA:
            vera = method.vera or VeRA()
            vectors = recipe.VeRA(**_targets(vera), rank=vera.rank, dropout=float(vera.dropout))
            return recipe.Method(type=kind, vera=vectors)
        case MethodType.PROMPT_TUNING:
            virtual = (method.prompt_tuning or PromptTuning()).virtual_tokens
            prompt = recipe.PromptTuning(virtual_tokens=virtual)
            return recipe.Method(type=kind, prompt_tuning=prompt)
        case MethodType.FULL:
            return recipe.Method(type=kind)


def _low_rank(given: LowRank) -> dict[str, Any]:
    return _targets(given) | {
        "rank": given.rank,
        "alpha": given.alpha,
        "dropout": float(given.dropout),
        "rank_stabilized": given.rank_stabilized,
        "learning_rate_ratio": float(given.learning_rate_ratio),
    }


def _targets(given: Targets) -> dict[str, Any]:
    return {
        "target_modules_preset": given.target_modules_preset,
        "target_modules": list(given.target_modules or ()),
    }


def _preference(given: Preference | None) -> recipe.Preference:
    preference = given or Preference()
    return recipe.Preference(
        loss=preference.loss,
        beta=float(preference.beta),
        desirable_weight=float(preference.desirable_weight or "1"),
        undesirable_weight=float(preference.undesirable_weight or "1"),
    )


def _evaluation(spec: FineTuneJobSpec) -> recipe.Evaluation:
    evaluation = spec.evaluation
    return recipe.Evaluation(
        metrics=list(evaluation.metrics or TASK_METRICS[spec.task]),
        max_new_tokens=evaluation.max_new_tokens,
        generated_examples=evaluation.generated_examples,
        shown_examples=evaluation.shown_examples,
        interval_steps=evaluation.interval_steps,
        best_metric=evaluation.best_metric,
        keep_best=bool(evaluation.keep_best or spec.training.early_stopping),
        gates=gates(evaluation),
    )


def gates(evaluation: Evaluation) -> list[recipe.Gate]:
    """What has to hold for the result to be published."""
    return [recipe.Gate.model_validate(gate.model_dump()) for gate in evaluation.gates]


def _training(training: Training, method: MethodType, task: Task) -> recipe.Training:
    usual = PREFERENCE_LEARNING_RATE if task is Task.PREFERENCE else DEFAULT_LEARNING_RATE
    return recipe.Training(
        epochs=training.epochs,
        max_steps=training.max_steps,
        learning_rate=float(training.learning_rate or usual[method]),
        schedule=training.schedule,
        warmup_steps=training.warmup_steps,
        optimizer=training.optimizer,
        weight_decay=float(training.weight_decay),
        max_gradient_norm=float(training.max_gradient_norm),
        early_stopping=recipe.EarlyStopping(
            patience=training.early_stopping.patience,
            minimum_gain=float(training.early_stopping.minimum_gain),
        )
        if training.early_stopping
        else None,
        max_length=training.max_length,
        packing=training.packing,
        tokens_per_batch=training.tokens_per_batch,
        precision=training.precision,
        class_weights=training.class_weights,
        seed=training.seed,
    )
