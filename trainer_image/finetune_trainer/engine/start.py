"""`python -m finetune_trainer.engine.start`: a training process from its first line, where what it
will not use can still be hidden from those that would load it."""

import argparse
import sys

from finetune_trainer import libraries
from finetune_trainer.commands import add_recipe_arguments
from finetune_trainer.recipe import read_recipe
from finetune_trainer.workspace import Workspace


def main() -> int:
    """Choose the libraries, and become the worker."""
    parser = argparse.ArgumentParser()
    add_recipe_arguments(parser)
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    libraries.hide(libraries.unused(recipe, Workspace(arguments.workspace)))
    # Loads all of them that are not hidden.
    from finetune_trainer.engine import worker  # noqa: PLC0415

    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
