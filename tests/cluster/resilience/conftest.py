"""Sources in the registry, a second node, and a namespace for each test file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import NAMESPACE_GONE_WITHIN, dump
from tests.cluster.kube import Kube
from tests.cluster.resilience import machine
from tests.cluster.resilience.jobs import Sources, push_sources


@pytest.fixture(scope="package")
def sources(cluster: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return push_sources(cluster["registry"], tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="package")
def second(operator: Kube) -> Iterator[str]:
    """The name of a second real node."""
    with machine.second_node() as name:
        yield name


@pytest.fixture(scope="module")
def shared_kube(request: pytest.FixtureRequest, operator: Kube) -> Iterator[Kube]:
    """One namespace for all tests of a file, under the restricted profile."""
    name = request.node.path.stem.removeprefix("test_").replace("_", "-")
    kube = Kube(f"t-{name}-{os.getpid()}")
    failures = request.session.testsfailed
    Kube("").apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": kube.namespace,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
    )
    yield kube
    if request.session.testsfailed > failures:
        dump(kube)
    Kube("").delete("namespace", kube.namespace, wait=NAMESPACE_GONE_WITHIN)
