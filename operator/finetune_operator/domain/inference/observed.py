"""What is looked at for an InferenceWorkspace, as it is now."""

from dataclasses import dataclass
from typing import Literal

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.inference_revision import InferenceRevision
from finetune_operator.api.inference_workspace import InferenceWorkspace
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.observed import Notice, Pod

ImageVolumes = Literal["Auto", "Enabled", "Disabled"]

IMAGE_VOLUMES_SINCE = (1, 36)
"""Kubernetes version in which image volumes are generally available."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything about one workspace."""

    workspace: InferenceWorkspace
    finetune_class: FineTuneClass | None
    revisions: tuple[InferenceRevision, ...] = ()
    deployment: JsonObject | None = None
    service: JsonObject | None = None
    disruption_budget: JsonObject | None = None
    config_maps: tuple[JsonObject, ...] = ()
    """Those with the workspace's label."""

    pods: tuple[Pod, ...] = ()
    replica_sets: tuple[JsonObject, ...] = ()
    notices: tuple[Notice, ...] = ()
    """Events of the cluster's about the pods and their ReplicaSets."""

    has_gpu_nodes: bool = False
    image_volumes: bool = True


def has_image_volumes(setting: ImageVolumes, server_version: tuple[int, int]) -> bool:
    """Whether adapters can be mounted as images; Auto goes by the API server's version."""
    if setting == "Auto":
        return server_version >= IMAGE_VOLUMES_SINCE
    return setting == "Enabled"
