"""The objects of an InferenceWorkspace: ConfigMap, Deployment, Service, PodDisruptionBudget."""

from finetune_operator.api.inference_workspace import InferenceWorkspace, Runtime
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.applied import stamped
from finetune_operator.domain.inference import transformers, vllm
from finetune_operator.domain.inference.server import (
    CONFIG_FILE,
    RUNTIME,
    WORKSPACE,
    Server,
)
from finetune_operator.domain.inference.sources import sources
from finetune_operator.domain.names import MANAGED_BY, OPERATOR, PASSED_ON, ROLE, Role
from finetune_operator.domain.pods import SCRATCH_VOLUME, overlay

GRACE_SECONDS = 75
"""What the server takes at most to leave (preStop, lingerSeconds and drainSeconds of its
configuration: 60 s) and some to spare."""

SETTLING_SECONDS = 5
"""From a pod's readiness until it counts as available: kube-proxy gathers changes for a second
(minSyncPeriod) before a node's rules lead to the pod, and refuses a Service's connections until
then; "Ready" has to mean that the Service answers."""


def config_map(server: Server) -> JsonObject:
    """serve.json; immutable, under a name of its content."""
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(server.workspace, server.config_map_name),
            "immutable": True,
            "data": {CONFIG_FILE: server.config},
        }
    )


def service(workspace: InferenceWorkspace) -> JsonObject:
    """Port 80 of the workspace's name."""
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _metadata(workspace, workspace.metadata.name),
            "spec": {
                "selector": _selector(workspace),
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            },
        }
    )


def disruption_budget(workspace: InferenceWorkspace) -> JsonObject:
    """Draining nodes takes one pod at a time; made where there is more than one."""
    return stamped(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": _metadata(workspace, workspace.metadata.name),
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": _selector(workspace)},
                # A pod that cannot become ready must not keep its node from being drained.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }
    )


def deployment(server: Server) -> JsonObject:
    """The pods that answer; new ones have answered before old ones go."""
    workspace = server.workspace
    metadata = _metadata(workspace, workspace.metadata.name)
    metadata["labels"] |= {RUNTIME: server.runtime.value}
    return stamped(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": workspace.spec.replicas,
                "minReadySeconds": SETTLING_SECONDS,
                "revisionHistoryLimit": 1,
                "selector": {"matchLabels": _selector(workspace)},
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
                },
                "template": {
                    "metadata": {"labels": _labels(workspace) | {ROLE: Role.SERVE.value}},
                    "spec": _pod(server),
                },
            },
        }
    )


def _pod(server: Server) -> JsonObject:
    runtime = vllm if server.runtime is Runtime.VLLM else transformers
    models = sources(server, transformers.resources(server))
    fields = overlay(
        server.workspace.spec.pod_template,
        tolerations=runtime.TOLERATIONS,
        pull_secrets=models.pull_secrets,
    )
    config = {"name": "config", "configMap": {"name": server.config_map_name}}
    return fields | {
        "initContainers": models.init_containers,
        "containers": runtime.containers(server, models.mounts),
        "volumes": [dict(SCRATCH_VOLUME), config, *runtime.VOLUMES, *models.volumes],
        "terminationGracePeriodSeconds": GRACE_SECONDS,
    }


def _metadata(workspace: InferenceWorkspace, name: str) -> JsonObject:
    return {
        "name": name,
        "namespace": workspace.metadata.namespace,
        "labels": _labels(workspace),
        "ownerReferences": [
            {
                "apiVersion": workspace.api_version,
                "kind": workspace.kind,
                "name": workspace.metadata.name,
                "uid": workspace.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }


def _labels(workspace: InferenceWorkspace) -> dict[str, str]:
    passed_on = {
        name: value
        for name, value in workspace.metadata.labels.items()
        if name.startswith(PASSED_ON)
    }
    return passed_on | _selector(workspace) | {MANAGED_BY: OPERATOR}


def _selector(workspace: InferenceWorkspace) -> dict[str, str]:
    return {WORKSPACE: workspace.metadata.name}
