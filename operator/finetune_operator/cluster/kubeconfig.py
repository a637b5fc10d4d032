"""A connection chosen as kubectl chooses it, for the command line."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes.config
import yaml
from kubernetes.client.configuration import Configuration

from finetune_operator.cluster.connection import ConfiguredConnection

_Contexts = tuple[list[dict[str, Any]], dict[str, Any]]
"""All of them, and the current one."""
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class NoClusterError(Exception):
    """No kubeconfig, or none that says where the cluster is."""


@dataclass(frozen=True)
class Chosen:
    """A cluster, and the namespace that is meant where none is named."""

    connection: ConfiguredConnection
    namespace: str


def choose(kubeconfig: str | None, context: str | None) -> Chosen:
    """The context of the kubeconfig; in a pod without a kubeconfig, the pod's own account.

    Args:
        kubeconfig: a path; None: KUBECONFIG, which may name several files, or ~/.kube/config.
        context: None: the current one.

    Raises:
        NoClusterError
    """
    configuration = Configuration()
    from_pod: Callable[..., None] = kubernetes.config.load_incluster_config
    from_file: Callable[..., None] = kubernetes.config.load_kube_config
    try:
        if kubeconfig is None and context is None and _only_in_pod():
            from_pod(client_configuration=configuration)
            return Chosen(ConfiguredConnection(configuration), _POD_NAMESPACE.read_text().strip())
        from_file(
            config_file=kubeconfig,
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
        contexts, current = _contexts(kubeconfig)
    except (kubernetes.config.ConfigException, yaml.YAMLError, OSError) as error:
        raise NoClusterError(" ".join(str(error).split())) from error
    found = next((each for each in contexts if each["name"] == context), current)
    namespace = found["context"].get("namespace") or "default"
    return Chosen(ConfiguredConnection(configuration), namespace)


def context_names(kubeconfig: str | None) -> list[str]:
    """Of every context that can be chosen.

    Raises:
        NoClusterError
    """
    try:
        return [each["name"] for each in _contexts(kubeconfig)[0]]
    except (kubernetes.config.ConfigException, yaml.YAMLError, OSError) as error:
        raise NoClusterError(" ".join(str(error).split())) from error


def _contexts(kubeconfig: str | None) -> _Contexts:
    read: Callable[..., _Contexts] = kubernetes.config.list_kube_config_contexts
    return read(kubeconfig)


def _only_in_pod() -> bool:
    files = kubernetes.config.KUBE_CONFIG_DEFAULT_LOCATION.split(os.pathsep)
    return "KUBERNETES_SERVICE_HOST" in os.environ and not any(
        Path(file).expanduser().exists() for file in files if file
    )
