"""What a run reads before it loads the model: data, layout, plan, adapter."""

from dataclasses import dataclass
from pathlib import Path

from finetune_trainer import starting_adapter
from finetune_trainer.base_model import BaseModel, open_base_model
from finetune_trainer.data.dataset import Dataset, load_dataset
from finetune_trainer.data.plan import Plan, make_plan
from finetune_trainer.engine.layout import lay_out
from finetune_trainer.engine.world import World
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.heads import HEADS
from finetune_trainer.memory.layout import Layout
from finetune_trainer.recipe import Recipe
from finetune_trainer.starting_adapter import open_adapter
from finetune_trainer.tasks import TASKS
from finetune_trainer.workspace import Workspace, locate


@dataclass(frozen=True)
class Preparation:
    """What a run reads before it loads the model."""

    base: BaseModel
    dataset: Dataset
    layout: Layout
    plan: Plan
    adapter: Path | None
    """What training goes on from, where it does not start from the base model."""

    @property
    def weights(self) -> list[Path]:
        """Folders of what training starts from."""
        return [path for path in (self.base.path, self.adapter) if path]


def prepare(recipe: Recipe, workspace: Workspace, world: World) -> Preparation:
    """Data, layout and plan, on every process.

    Raises:
        ConfigurationError, DataError, ModelError: what was wrong with the inputs.
    """
    path = locate(workspace.model, recipe.model.storage_uri)
    base = open_base_model(path, recipe.training.max_length, HEADS[recipe.task])
    if not world.leads:
        world.maximum([0.0])  # until the data is there
    dataset = load_dataset(recipe, workspace, base.tokenizer())
    if world.leads:
        world.maximum([0.0])
    layout = lay_out(recipe, base, world)
    plan = make_plan(
        dataset.train.lengths,
        dataset.train.weights,
        recipe.training,
        micro_batch=layout.micro_batch,
        lay_out=TASKS[recipe.task].lay_out,
        mixture=dataset.mixture,
    )
    return Preparation(base, dataset, layout, plan, _adapter(base, recipe, workspace))


def _adapter(base: BaseModel, recipe: Recipe, workspace: Workspace) -> Path | None:
    if not recipe.model.adapter_uri:
        return None
    adapter = open_adapter(locate(workspace.adapter, recipe.model.adapter_uri))
    if found := starting_adapter.problems(adapter, base, recipe):
        raise ConfigurationError("; ".join(found))
    return adapter.path
