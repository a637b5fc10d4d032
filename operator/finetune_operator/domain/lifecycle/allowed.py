"""What the FineTuneClass of a job allows. Pure."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from finetune_operator.api.compute import CapacityChoice
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job import FineTuneJobSpec
from finetune_operator.api.provisioner import ProvisionerType

_WITHOUT_SPOT = (ProvisionerType.EXISTING, ProvisionerType.KAITO)


def not_allowed(spec: FineTuneJobSpec, its_class: FineTuneClass) -> str | None:
    """Why a job of this class cannot be carried out as it is written, and what to change."""
    return next(_refusals(spec, its_class), None)


def _refusals(spec: FineTuneJobSpec, its_class: FineTuneClass) -> Iterator[str]:
    name, allowed, compute = its_class.metadata.name, its_class.spec.allowed, spec.compute
    provisioner = its_class.spec.provisioner.type
    if allowed.max_nodes is not None and compute.nodes > allowed.max_nodes:
        yield (
            f"compute.nodes is {compute.nodes}, and FineTuneClass {name} allows"
            f" {allowed.max_nodes}: lower it, or ask the platform team"
        )
    for field, uri in _image_uris(spec):
        place = uri.removeprefix("oci://")
        if allowed.registries and not any(_allows(each, place) for each in allowed.registries):
            yield (
                f"{field} is {uri}, and FineTuneClass {name} allows only"
                f" {', '.join(allowed.registries)}: use one of them, or ask the platform team"
            )
    for each in compute.instance_types:
        patterns = allowed.instance_types
        if patterns and not any(fnmatchcase(each, pattern) for pattern in patterns):
            yield (
                f"compute.instanceTypes names {each}, and FineTuneClass {name} allows only"
                f" {', '.join(patterns)}: use one of them, or ask the platform team"
            )
    if compute.capacity_type is not CapacityChoice.ON_DEMAND and provisioner in _WITHOUT_SPOT:
        gets = "uses the nodes that there are" if provisioner == "Existing" else "has no spot nodes"
        yield (
            f"compute.capacityType is {compute.capacity_type}, and FineTuneClass {name}"
            f" ({provisioner}) {gets}: set it to OnDemand, or use a class of type AKS or Karpenter"
        )


def _image_uris(spec: FineTuneJobSpec) -> list[tuple[str, str]]:
    """Every oci:// place the job reads or writes, with its field."""
    found = [("model.storageUri", spec.model.storage_uri)]
    if spec.model.adapter_uri:
        found.append(("model.adapterUri", spec.model.adapter_uri))
    found += [("dataset.train", source.storage_uri) for source in spec.dataset.train]
    found += [
        ("dataset.validation", source.storage_uri) for source in spec.dataset.validation or ()
    ]
    found.append(("output.storageUri", spec.output.storage_uri))
    return [(field, uri) for field, uri in found if uri.startswith("oci://")]


def _allows(pattern: str, place: str) -> bool:
    """Whether a place lies in a registry, or below a path of it."""
    return fnmatchcase(place, pattern) or fnmatchcase(place, f"{pattern.rstrip('/*')}/*")
