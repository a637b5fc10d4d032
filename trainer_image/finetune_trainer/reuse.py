"""`reuse`: find an earlier result of the same recipe, model, data and trainer image in the job's
own repository, compare every file of it with what training wrote, and give it the job's names.

It trains nothing and decides nothing: what it says of a result that cannot be used is told, and
the job trains.
"""

import argparse
import logging
import shutil
from pathlib import Path

from finetune_trainer import record
from finetune_trainer.artifacts import destination, kinds, named, repository, trained_of
from finetune_trainer.commands import add_output_arguments, registry_of
from finetune_trainer.errors import DataError
from finetune_trainer.gates import failures
from finetune_trainer.manifest import Looked, Published
from finetune_trainer.oci.registry import Registry
from finetune_trainer.recipe import Recipe, read_recipe
from finetune_trainer.workspace import Workspace

PROBLEM_LENGTH = 1000
"""A termination message is short, and so are messages of conditions."""

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output_arguments(parser)
    parser.add_argument(
        "--result-key", required=True, help="sha256:… of what decides the result; looked for by it"
    )


def run(arguments: argparse.Namespace) -> Looked:
    registry = registry_of(arguments)
    recipe = read_recipe(arguments.recipe)
    workspace = Workspace(arguments.workspace)
    return look(recipe, arguments.uri, arguments.result_key, workspace, registry)


def look(recipe: Recipe, uri: str, key: str, workspace: Workspace, registry: Registry) -> Looked:
    """The result recorded under `key`, or why there is none to use.

    Raises:
        ConfigurationError, CredentialsRefusedError, UnavailableError: the registry cannot be asked.
    """
    temporary = workspace.root / ".reuse"
    try:
        return _look(recipe, uri, key, registry, temporary)
    except DataError as error:
        log.warning("%s", error)
        return Looked(problem=str(error)[:PROBLEM_LENGTH])
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _look(recipe: Recipe, uri: str, key: str, registry: Registry, temporary: Path) -> Looked:
    image = destination(uri)
    found = record.find(key, image, registry)
    if found is None:
        log.info("nothing is recorded as %s", record.place_of(image, key).uri)
        return Looked()
    completion, content = record.completion_of(found, registry, temporary)
    if missing := completion.missing(recipe.output.conversions):
        raise DataError(
            f"the result of {found.job} in {repository(image)} has no {', '.join(missing)}, which"
            " output.exports asks for"
        )
    images = [
        record.verified(found, kind, completion, registry, temporary)
        for kind in kinds(recipe, completion)
    ]
    if failed := failures(recipe.evaluation.gates, completion.evaluation):
        log.warning("the tag %s is not moved: %s", image.tag, "; ".join(failed))
    else:
        for each in images:
            registry.name(image.at(each.digest), named(image, each.kind, completion))
    published = Published(
        repository=repository(image),
        images=images,
        completion=trained_of(completion, content),
    )
    return Looked(found=published, job=found.job)
