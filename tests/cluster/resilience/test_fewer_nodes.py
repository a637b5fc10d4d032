"""A node that does not come back is not waited for for ever, where the job says so."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from tests.cluster.kube import Kube, Object, condition, counted, merge
from tests.cluster.resilience.jobs import TWO_NODES, Sources, finetune_job, weights
from tests.cluster.resilience.trainer_log import TrainerLog, running_pod

pytestmark = [pytest.mark.exclusive, pytest.mark.timeout(600)]

ENDS_WITHIN = 240
MIDST = 30

FEWER: Object = {"spec": {"compute": {"minNodes": 1, "minNodesAfterSeconds": 5}}}


@contextlib.contextmanager
def cordoned(node: str) -> Iterator[None]:
    """It takes no pod meanwhile, as one that does not come back."""
    Kube("").run("cordon", node)
    try:
        yield
    finally:
        Kube("").run("uncordon", node)


def evict(kube: Kube, pod: str) -> None:
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": kube.namespace},
    }
    place = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/eviction"
    kube.run("create", "--raw", place, "-f", "-", stdin=json.dumps(eviction))


def test_training_goes_on_with_the_node_that_is_left(
    shared_kube: Kube, sources: Sources, second: str, tmp_path: Path
) -> None:
    kube, namespace = shared_kube, shared_kube.namespace
    kube.apply(
        finetune_job("fewer", sources, namespace, change=merge(TWO_NODES, FEWER)),
    )
    (lost,) = (
        pod["metadata"]["name"]
        for pod in (running_pod(kube, "fewer", 1, rank) for rank in (0, 1))
        if pod["spec"]["nodeName"] == second
    )
    with TrainerLog.of_attempt(kube, "fewer", 1) as first:
        first.wait_for_step(MIDST, deadline=ENDS_WITHIN)
        with cordoned(second):
            evict(kube, lost)
            told = kube.wait_for(
                "finetunejob",
                "fewer",
                lambda job: condition(job, "NodesReady").get("reason") == "FewerNodes",
                deadline=ENDS_WITHIN,
            )
            assert condition(told, "NodesReady")["message"] == "it trains on 1 of 2 nodes"
            assert told["status"]["attempts"]["nodes"] == 1
            with TrainerLog.of_attempt(kube, "fewer", 3) as last:
                # What the result is compared with.
                kube.apply(finetune_job("alone", sources, namespace))
                job = kube.wait_for_job("fewer", deadline=ENDS_WITHIN)
                assert last.ended(deadline=30).resumed_from >= MIDST
    assert counted(job) == (3, 0, 2)
    events = kube.run("get", "events", "--field-selector=reason=FewerNodes")
    assert "attempt 3 starts on 1 of 2 nodes" in events
    alone = kube.wait_for_job("alone", deadline=ENDS_WITHIN)
    whole = load(weights(alone, sources, tmp_path))
    for name, tensor in load(weights(job, sources, tmp_path)).items():
        torch.testing.assert_close(tensor, whole[name], rtol=0, atol=1e-4)
