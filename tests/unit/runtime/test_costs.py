"""What is looked at to count costs: here against an API server of objects that the test gives."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job_status import Nodes
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Costs, Pod
from finetune_operator.domain.provisioning import Offer
from finetune_operator.nodes.prices import PriceBook
from finetune_operator.runtime.costs import look_at_costs
from finetune_operator.runtime.fine_tune_job import FineTuneJobReconciler
from finetune_operator.runtime.progress_book import ProgressBook
from tests.unit.cluster.test_client import ScriptedServer, served
from tests.unit.domain.in_memory import IMAGES, job
from tests.unit.runtime.some_tools import some_tools

NOW = datetime(2026, 11, 27, 22, 0, tzinfo=UTC)
TYPE = "Standard_NC24ads_A100_v4"
NODE = {
    "metadata": {
        "name": "node-1",
        "labels": {
            "node.kubernetes.io/instance-type": TYPE,
            "karpenter.sh/capacity-type": "spot",
        },
    }
}


def its_class(provisioner: str, **budget: Any) -> FineTuneClass:
    spec = {"images": IMAGES, "provisioner": {"type": provisioner}, "budget": budget}
    return FineTuneClass.model_validate({"metadata": {"name": "default"}, "spec": spec})


def other(name: str, seconds: int, updated: str, class_name: str = "default") -> dict[str, Any]:
    """Another job of the namespace, whose node cost 3.60 an hour."""
    stored = job(className=class_name).to_dict()
    stored["metadata"] |= {"name": name, "uid": f"uid-of-{name}"}
    charge = {"instanceType": TYPE, "nodes": 1, "hourlyPrice": "3.60", "seconds": seconds}
    stored["status"] = {"cost": {"currency": "USD", "charges": [charge], "updatedAt": updated}}
    return stored


def pod(role: Role = Role.TRAIN, node: str = "node-1", phase: str = "Running") -> Pod:
    return Pod("team", "p", "uid-p", role, 1, phase=phase, node=node)


async def look(
    of_class: FineTuneClass | None, *pods: Pod, nodes: Nodes | None = None, answer: Any = None
) -> tuple[Costs, ScriptedServer]:
    the_job = job()
    the_job = the_job.model_copy(
        update={"status": the_job.status.model_copy(update={"nodes": nodes})}
    )
    async with served(lambda _: (200, answer or {})) as (client, server):
        found = await look_at_costs(
            client, the_job, of_class, pods, PriceBook("", lambda: NOW), now=NOW
        )
        return found, server


@pytest.mark.parametrize("of_class", [None, its_class("Existing")])
async def test_nothing_is_looked_at_where_nodes_are_there(of_class: FineTuneClass | None) -> None:
    found, server = await look(of_class, pod())
    assert found == Costs()
    assert server.requests == []


async def test_prices_are_those_of_the_class() -> None:
    found, server = await look(its_class("KAITO", currency="EUR", region="westeurope"), pod())
    assert (found.prices.currency, found.prices.region) == ("EUR", "westeurope")
    assert server.requests == []


async def test_a_limit_of_the_namespace_counts_the_other_jobs_of_this_month() -> None:
    jobs = [
        other("chat", 7200, "2026-11-27T21:00:00Z"),
        other("this-month", 3600, "2026-11-01T00:00:00Z"),
        other("october", 3600, "2026-10-31T23:59:59Z"),
        other("other-class", 3600, "2026-11-27T21:00:00Z", class_name="cheap"),
    ]
    limited = its_class("KAITO", maxCostPerNamespacePerMonth="100.00")
    found, server = await look(limited, answer={"items": jobs})
    assert found.month_spent == Decimal("3.60"), "itself is not another one"
    [(method, path, _)] = server.requests
    assert method == "GET"
    assert path.startswith("/apis/finetune.dev/v1beta1/namespaces/team/finetunejobs")


async def test_what_karpenter_has_made_is_asked_of_the_node_once() -> None:
    found, server = await look(its_class("Karpenter"), pod(), answer=NODE)
    assert found.machine == Offer(TYPE, spot=True)
    assert [path for _, path, _ in server.requests] == ["/api/v1/nodes/node-1"]
    known = Nodes(instance_type=TYPE, capacity_type="Spot")
    found, server = await look(its_class("Karpenter"), pod(), nodes=known, answer=NODE)
    assert found.machine is None
    assert server.requests == []


@pytest.mark.parametrize(
    "others",
    [pod(Role.PREPARE), pod(node=""), pod(phase="Succeeded")],
    ids=["role", "node", "over"],
)
async def test_only_pods_that_train_say_what_they_run_on(others: Pod) -> None:
    found, server = await look(its_class("Karpenter"), others, answer=NODE)
    assert found.machine is None
    assert server.requests == []


async def test_a_node_without_the_label_says_nothing() -> None:
    found, _ = await look(its_class("Karpenter"), pod(), answer={"metadata": {"name": "node-1"}})
    assert found.machine is None


async def test_a_class_that_changes_wakes_the_jobs_that_it_holds_back() -> None:
    phases = [None, "Pending", "Suspended", "Training", "Succeeded"]
    jobs = [
        {
            "metadata": {"namespace": "team", "name": f"job-{number}"},
            "spec": {"className": "gpu"},
            "status": {"phase": phase} if phase else {},
        }
        for number, phase in enumerate(phases)
    ]
    jobs.append({"metadata": {"namespace": "team", "name": "of-default"}, "spec": {}})
    async with served(lambda _: (200, {"items": jobs})) as (client, _):
        tools = some_tools(client, lambda: NOW)
        reconciler = FineTuneJobReconciler(tools, ProgressBook(lambda _key, _seconds: None))
        woken = await reconciler.jobs_of_class({"metadata": {"name": "gpu"}})
    assert [key.name for key in woken] == ["job-0", "job-1", "job-2"]
