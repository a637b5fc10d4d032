"""Sources in the registry, a second node, and a namespace for each test file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import Departures, dump
from tests.cluster.kube import Kube, restricted
from tests.cluster.resilience import machine
from tests.cluster.resilience.jobs import Sources, push_sources


@pytest.fixture(scope="package")
def sources(cluster: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return push_sources(cluster["registry"], tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="package")
def second(operator: Kube, departures: Departures) -> Iterator[str]:
    """The name of a second real node."""
    with machine.second_node() as name:
        yield name
        departures.wait()  # a node that is gone reports no pod as ended


@pytest.fixture(scope="module")
def shared_kube(
    request: pytest.FixtureRequest, operator: Kube, departures: Departures
) -> Iterator[Kube]:
    """One namespace for all tests of a file, under the restricted profile."""
    name = request.node.path.stem.removeprefix("test_").replace("_", "-")
    kube = Kube(f"t-{name}-{os.getpid()}")
    failures = request.session.testsfailed
    Kube("").apply(restricted(kube.namespace))
    yield kube
    if request.session.testsfailed > failures:
        dump(kube)
    departures.add(kube)
