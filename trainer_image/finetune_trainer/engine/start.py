"""`python -m finetune_trainer.engine.start MODULE`: a process of the launcher from its first line,
where what it will not use can still be hidden from those that would load it."""

import argparse
import gc
import importlib
from collections.abc import Callable
from typing import NoReturn, cast

from finetune_trainer import libraries
from finetune_trainer.commands import add_recipe_arguments
from finetune_trainer.recipe import read_recipe
from finetune_trainer.workspace import Workspace


def main() -> NoReturn:
    """Choose the libraries, and become the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module", help="of this package; its main() is called with the arguments")
    add_recipe_arguments(parser)
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    libraries.hide(libraries.unused(recipe, Workspace(arguments.workspace)))
    # Loads all of them that are not hidden. Nothing of that is ever garbage, and to look it through
    # takes half a second each time, which accelerate does after every training.
    gc.disable()
    module = importlib.import_module(f"finetune_trainer.{arguments.module}")
    gc.freeze()
    gc.enable()
    cast("Callable[[argparse.Namespace], NoReturn]", module.main)(arguments)


if __name__ == "__main__":
    main()
