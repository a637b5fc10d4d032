"""FineTuneJob + resolved device → Recipe: every default filled in, nothing left to decide."""

from finetune_operator.api.dataset import DEFAULT_VALIDATION_FRACTION, Dataset
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.method import LoRA, Method
from finetune_operator.api.training import Training
from finetune_trainer import recipe
from finetune_trainer.recipe import Device, MethodType, Recipe

DEFAULT_LEARNING_RATE = {MethodType.LORA: "2e-4", MethodType.FULL: "2e-5"}
"""An adapter starts from zero and bears ten times the rate that would make a whole model forget
what it knows; the values are those usual for AdamW in published fine-tuning recipes."""


def build_recipe(job: FineTuneJob, device: Device) -> Recipe:
    """What exactly a run of this job does; `finetune_trainer.rules.problems` judges it.

    Args:
        job: as stored, so with the defaults of the CRD.
        device: what compute.device stands for in this cluster.
    """
    spec = job.spec
    return Recipe(
        job=recipe.JobIdentity(
            namespace=job.metadata.namespace,
            name=job.metadata.name,
            generation=job.metadata.generation,
        ),
        model=recipe.Model(storage_uri=spec.model.storage_uri, revision=spec.model.revision or ""),
        task=spec.task,
        dataset=_dataset(spec.dataset),
        method=_method(spec.method),
        training=_training(spec.training, spec.method.type),
        compute=recipe.Compute(
            device=device,
            nodes=spec.compute.nodes,
            gpus_per_node=spec.compute.gpus_per_node if device is Device.GPU else 0,
        ),
        checkpoint=recipe.Checkpoint(
            interval_steps=spec.checkpoint.interval_steps,
            interval_seconds=spec.checkpoint.interval_seconds,
            keep=spec.checkpoint.keep,
        ),
    )


def _dataset(dataset: Dataset) -> recipe.Dataset:
    held_out = dataset.validation or ()
    fraction = "0" if held_out else dataset.validation_fraction or DEFAULT_VALIDATION_FRACTION
    return recipe.Dataset(
        train=[recipe.Source(storage_uri=source.storage_uri) for source in dataset.train],
        validation=[recipe.Source(storage_uri=source.storage_uri) for source in held_out],
        validation_fraction=float(fraction),
        format=dataset.format,
    )


def _method(method: Method) -> recipe.Method:
    if method.type is not MethodType.LORA:
        return recipe.Method(type=method.type)
    lora = method.lora or LoRA()
    return recipe.Method(
        type=method.type,
        lora=recipe.LoRA(
            rank=lora.rank,
            alpha=lora.alpha,
            dropout=float(lora.dropout),
            target_modules_preset=lora.target_modules_preset,
            target_modules=list(lora.target_modules or ()),
        ),
    )


def _training(training: Training, method: MethodType) -> recipe.Training:
    return recipe.Training(
        epochs=training.epochs,
        max_steps=training.max_steps,
        learning_rate=float(training.learning_rate or DEFAULT_LEARNING_RATE[method]),
        schedule=training.schedule,
        warmup_steps=training.warmup_steps,
        max_length=training.max_length,
        packing=training.packing,
        tokens_per_batch=training.tokens_per_batch,
        precision=training.precision,
        seed=training.seed,
    )
