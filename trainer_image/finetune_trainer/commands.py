"""What the commands share."""

import argparse
from pathlib import Path

from finetune_trainer import authorities, credentials
from finetune_trainer.oci.registry import Registry


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """--recipe and --workspace."""
    parser.add_argument("--recipe", type=Path, required=True, help="the recipe, a JSON file")
    add_workspace_argument(parser)


def add_workspace_argument(parser: argparse.ArgumentParser) -> None:
    """--workspace."""
    parser.add_argument(
        "--workspace",
        type=Path,
        default=Path("/workspace"),
        help="where inputs, checkpoints and output lie (default: %(default)s)",
    )


def add_access_arguments(parser: argparse.ArgumentParser) -> None:
    """How whoever leaves the cluster is let in elsewhere."""
    parser.add_argument("--insecure-registry", action="append", default=[], metavar="HOST")
    parser.add_argument(
        "--credentials", type=Path, default=credentials.FOLDER, help="a mounted Secret"
    )
    parser.add_argument(
        "--authorities", type=Path, default=authorities.FOLDER, help="a mounted ConfigMap"
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own repository, and how to be let in."""
    add_recipe_arguments(parser)
    parser.add_argument("--uri", required=True, help="oci://HOST/REPOSITORY:TAG")
    add_access_arguments(parser)


def registry_of(arguments: argparse.Namespace) -> Registry:
    """Of the job's own repository."""
    authorities.trust(arguments.authorities)
    authfile = credentials.find(arguments.credentials, credentials.REGISTRY_AUTHFILE)
    return Registry(authfile, tuple(arguments.insecure_registry))
