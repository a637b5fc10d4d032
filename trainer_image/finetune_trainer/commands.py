"""What the commands share."""

import argparse
from pathlib import Path


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """--recipe and --workspace."""
    parser.add_argument("--recipe", type=Path, required=True, help="the recipe, a JSON file")
    parser.add_argument(
        "--workspace",
        type=Path,
        default=Path("/workspace"),
        help="where inputs, checkpoints and output lie (default: %(default)s)",
    )
