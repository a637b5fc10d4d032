"""FineTuneClasses from a file, for an operator that may not read those of the cluster."""

import json
from pathlib import Path

import yaml
from pydantic import ValidationError

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.provisioner import ProvisionerType


class ClassesError(Exception):
    """The file cannot be used; the message names what is wrong in it."""


def read_classes(path: Path) -> dict[str, FineTuneClass]:
    """Every class of a file of YAML documents, by name.

    Raises:
        ClassesError: it cannot be read, or a class is not one that such an operator can obey.
    """
    try:
        documents = [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClassesError(f"{path} cannot be read: {error}") from error
    classes = [_read(each, path) for each in documents]
    return {each.metadata.name: each for each in classes}


def _read(document: object, path: Path) -> FineTuneClass:
    try:
        # As JSON and strictly: the API server takes no number for a string either.
        found = FineTuneClass.model_validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        raise ClassesError(f"{path} holds what is no FineTuneClass: {error}") from error
    name, spec = found.metadata.name, found.spec
    if spec.provisioner.type is not ProvisionerType.EXISTING:
        raise ClassesError(
            f"FineTuneClass {name}: provisioner {spec.provisioner.type.value} makes objects that"
            " belong to the whole cluster, and this operator has namespaces only: use Existing"
        )
    if spec.budget.max_cost_per_job or spec.budget.max_cost_per_namespace_per_month:
        raise ClassesError(
            f"FineTuneClass {name}: its budget needs nodes that are got for a job, whose cost is"
            " known: remove it"
        )
    return found
