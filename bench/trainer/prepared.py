"""The assignment as a recipe and a workspace of this trainer."""

from bench.trainer import task
from finetune_trainer.recipe import Recipe
from finetune_trainer.workspace import Workspace


def prepare(assignment: task.Assignment, held_out: bool = False) -> tuple[Recipe, Workspace]:
    """Lay the workspace out as `fetch` leaves it.

    Args:
        held_out: whether as many conversations again are to be measured before and after.
    """
    validation = [{"storageUri": "file:///held-out"}] if held_out else []
    recipe = Recipe.model_validate(
        {
            "job": {"namespace": "bench", "name": "trainer", "generation": 1},
            "model": {"storageUri": "file:///model"},
            "task": "Chat",
            "dataset": {
                "train": [{"storageUri": "file:///data"}],
                "validation": validation,
                "format": "OpenAIChat",
            },
            "evaluation": {"metrics": ["Loss"], "shownExamples": 0},
            "method": {
                "type": "LoRA",
                "lora": {
                    "rank": task.RANK,
                    "alpha": task.ALPHA,
                    "dropout": 0.0,
                    "targetModulesPreset": "AllLinear",
                },
            },
            "training": {
                "epochs": 1,
                "learningRate": task.LEARNING_RATE,
                "schedule": "Linear",
                "warmupSteps": 0,
                "maxLength": assignment.row,
                "packing": True,
                "tokensPerBatch": assignment.row,
                "precision": assignment.precision,
                "seed": task.SEED,
            },
            "compute": {
                "device": assignment.device,
                "nodes": 1,
                "gpusPerNode": int(assignment.device == "GPU"),
            },
            "checkpoint": {"intervalSteps": 10_000, "intervalSeconds": 86_400, "keep": 1},
        }
    )
    workspace = Workspace(assignment.work)
    (workspace.root / "inputs").mkdir(parents=True)
    workspace.model.symlink_to(assignment.model)
    files = {"train": assignment.data} | ({"validation": assignment.held_out} if held_out else {})
    for role, file in files.items():
        source = workspace.source(role, 0)
        source.mkdir()
        (source / file.name).symlink_to(file)
    return recipe, workspace
