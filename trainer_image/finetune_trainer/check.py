"""`check`: refuses in seconds, without weights and without torch, what could not be trained."""

import argparse

from finetune_trainer import export_rules, model_rules, processors, starting_adapter
from finetune_trainer.base_model import open_base_model
from finetune_trainer.commands import add_recipe_arguments
from finetune_trainer.data.dataset import Dataset, load_dataset
from finetune_trainer.data.plan import Plan, make_plan
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.heads import HEADS
from finetune_trainer.manifest import Checked
from finetune_trainer.recipe import Recipe, read_recipe
from finetune_trainer.rules import problems, warmup_refused
from finetune_trainer.starting_adapter import open_adapter
from finetune_trainer.tasks import TASKS
from finetune_trainer.workspace import Workspace, locate, write_durably


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_arguments(parser)


def run(arguments: argparse.Namespace) -> Checked:
    """Read the model's small files and all of the data; write prepared.json.

    Raises:
        ConfigurationError, DataError: with everything the user has to change.
    """
    recipe = read_recipe(arguments.recipe)
    workspace = Workspace(arguments.workspace)
    if found := problems(recipe):
        raise ConfigurationError("; ".join(found))
    base = open_base_model(
        locate(workspace.model, recipe.model.storage_uri),
        recipe.training.max_length,
        HEADS[recipe.task],
    )
    dataset = load_dataset(recipe, workspace, base.tokenizer(), processes=processors.usable())
    plan = make_plan(
        dataset.train.lengths,
        dataset.train.weights,
        recipe.training,
        lay_out=TASKS[recipe.task].lay_out,
        mixture=dataset.mixture,
    )
    if recipe.training.warmup_steps >= plan.total_steps:
        raise ConfigurationError(warmup_refused(recipe.training.warmup_steps, plan.total_steps))
    found = [*model_rules.problems(base, recipe), *export_rules.problems(base, recipe)]
    if recipe.model.adapter_uri:
        adapter = open_adapter(locate(workspace.adapter, recipe.model.adapter_uri))
        found += starting_adapter.problems(adapter, base, recipe)
    if found:
        raise ConfigurationError("; ".join(found))
    checked = _checked(recipe, dataset, plan)
    write_durably(workspace.prepared, checked.model_dump_json(indent=2).encode())
    return checked


def _checked(recipe: Recipe, dataset: Dataset, plan: Plan) -> Checked:
    return Checked(
        dataset_digest=dataset.digest,
        dataset_format=dataset.format.value,
        train_examples=len(dataset.train.examples),
        validation_examples=len(dataset.validation.examples) if dataset.validation else 0,
        train_tokens=sum(dataset.train.lengths),
        supervised_tokens=dataset.train.targets,
        lengths=dataset.train.statistics(),
        steps_per_epoch=plan.steps_per_epoch,
        total_steps=plan.total_steps,
        leaks=dataset.leaks,
    )
