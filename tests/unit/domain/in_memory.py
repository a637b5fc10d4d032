"""A cluster in memory: objects as the API server would give them, moved on by the tests."""

from __future__ import annotations

import copy
import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.provisioner import KAITO, OwnNodePools
from finetune_operator.domain import names
from finetune_operator.domain.actions import Action, Apply, Create, Delete, Finalize
from finetune_operator.domain.endings import FAIL_JOB_ON
from finetune_operator.domain.lifecycle import Decision, Surroundings, decide
from finetune_operator.domain.lifecycle.provision import node_request, without_class
from finetune_operator.domain.observed import Costs, Line, Notice, Observed
from finetune_operator.domain.provisioning import EXISTING, NodeRequest, Offer, Provision
from finetune_operator.domain.views import view_batch_job, view_child, view_pod
from finetune_operator.nodes import kaito, karpenter
from finetune_trainer.manifest import Progress
from tests.cluster.simulation import trainer

Object = dict[str, Any]
START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
IMAGES = {"trainer": "registry/trainer:1"}
CLASS = FineTuneClass.model_validate({"metadata": {"name": "default"}, "spec": {"images": IMAGES}})
BY_DIGEST = FineTuneClass.model_validate(
    {
        "metadata": {"name": "default"},
        "spec": {"images": {"trainer": "registry/trainer@sha256:" + "1" * 64}},
    }
)
"""Whose jobs look for earlier results."""

CLAIMING = FineTuneClass.model_validate(
    {
        "metadata": {"name": "default"},
        "spec": {"images": IMAGES, "provisioner": {"type": "KAITO"}},
    }
)
"""Whose jobs get a NodeClaim for each node."""
OWN_NODE_POOLS = OwnNodePools.model_validate(
    {"nodeClassRef": {"group": "karpenter.azure.com", "kind": "AKSNodeClass", "name": "default"}}
)
POOLING = FineTuneClass.model_validate(
    {
        "metadata": {"name": "default"},
        "spec": {
            "images": IMAGES,
            "provisioner": {
                "type": "Karpenter",
                "karpenter": {"ownNodePools": OWN_NODE_POOLS.to_dict()},
            },
        },
    }
)
"""Whose jobs get a NodePool of Karpenter's each."""


def job(**spec: Any) -> FineTuneJob:
    """A stored job, accepted by the API server a moment ago."""
    manifest = trainer.job("team", "chat", "n", class_name="default", **spec)
    manifest["metadata"] |= {"uid": "uid-of-chat", "generation": 1}
    return FineTuneJob.from_stored(manifest)


class InMemory:
    """One job and its children. Nothing happens in it that no method was called for."""

    def __init__(self, the_job: FineTuneJob | None = None) -> None:
        self.job = the_job or job()
        self.now = START
        self.finetune_class: FineTuneClass | None = CLASS
        self.objects: dict[tuple[str, str], Object] = {}
        self.created: list[tuple[str, str]] = []
        self.line: Line | None = Line()
        self.queued = False
        """Whether a queue suspends every Job that is made, as Kueue does."""
        self.progress: Progress | None = None
        self.unchanged_seconds = 0.0
        self.lost_nodes: frozenset[str] = frozenset()
        self.notices: tuple[Notice, ...] = ()
        self.storage_is_shared: bool | None = None
        self.gpu_memory: int | None = None
        self.month_spent = Decimal(0)
        self.machine: Offer | None = None
        """What the pods of training run on, where nodes come with them."""
        self.without_capacity: list[tuple[datetime, Object]] = []
        """When a NodeClaim was refused, and the event that says so."""
        self.gone = False
        """Whether the job was deleted and nobody holds it any more."""
        self._uids = itertools.count(1)

    # What the operator does.

    def observe(self) -> Observed:
        name = self.job.metadata.name
        batch_jobs = [view_batch_job(each) for each in self.all("Job")]
        pods = [view_pod(each) for each in self.all("Pod")]
        request = node_request(self.job, [each for each in pods if each], self.now)
        return Observed(
            finetune_class=self.finetune_class,
            recipe=view_child(self.objects.get(("ConfigMap", names.config_map(name)))),
            volume_claim=view_child(
                self.objects.get(("PersistentVolumeClaim", names.volume_claim(name)))
            ),
            service=view_child(self.objects.get(("Service", names.service(name)))),
            batch_jobs=tuple(each for each in batch_jobs if each is not None),
            pods=tuple(each for each in pods if each is not None),
            lost_nodes=self.lost_nodes,
            storage_is_shared=self.storage_is_shared,
            gpu_memory=self.gpu_memory,
            notices=self.notices,
            line=self.line,
            progress=self.progress,
            unchanged_seconds=self.unchanged_seconds,
            costs=Costs(month_spent=self.month_spent, machine=self.machine),
            nodes_wanted=request.wanted,
            provision=self._provision(request),
        )

    def _provision(self, request: NodeRequest) -> Provision:
        its_class = self.finetune_class
        held = names.NODES_FINALIZER in self.job.metadata.finalizers
        if not request.wanted and not held:
            return EXISTING
        if its_class is None:
            return without_class(self.job)
        if its_class.spec.provisioner.type == "Karpenter":
            pool = self.objects.get(("NodePool", karpenter.pool_name(request)))
            return karpenter.own(OWN_NODE_POOLS, request, pool)
        if its_class.spec.provisioner.type != "KAITO":
            return EXISTING
        kept = [
            event
            for refused, event in self.without_capacity
            if self.now - refused < timedelta(seconds=kaito.REFUSED_SECONDS)
        ]
        return kaito.decide(KAITO(), request, self.all("NodeClaim"), kept)

    def decide(self) -> Decision:
        return decide(self.job, self.observe(), Surroundings(now=self.now))

    def reconcile(self, crash_after: int | None = None) -> Decision:
        """One call of the operator's; it may die after so many of its writes."""
        decision = self.decide()
        for count, action in enumerate(decision.actions):
            if count == crash_after:
                return decision
            self.carry_out(action)
        finalized = any(isinstance(each, Finalize) for each in decision.actions)
        if not finalized and (crash_after is None or len(decision.actions) < crash_after):
            stored = self.job.to_dict() | {"status": decision.status.to_dict()}
            self.job = FineTuneJob.from_stored(stored)
        return decision

    def settle(self, calls: int = 20) -> None:
        """Reconciles until nothing is left to do at this moment."""
        for _ in range(calls):
            if self.gone:
                return
            decision = self.reconcile()
            if not decision.actions and decision.requeue_after != 0:
                return
        raise AssertionError(f"still busy after {calls} calls: {decision}")

    def carry_out(self, action: Action) -> None:
        if isinstance(action, Apply | Create):
            manifest = copy.deepcopy(dict(action.manifest))
            key = manifest["kind"], manifest["metadata"]["name"]
            if key not in self.objects:
                self.created.append(key)
                manifest["metadata"] |= {
                    "uid": f"uid-{next(self._uids)}",
                    "creationTimestamp": self.now.isoformat(),
                }
                if manifest["kind"] == "Job" and self.queued:
                    manifest["spec"]["suspend"] = True
                self.objects[key] = manifest
        elif isinstance(action, Finalize):
            self._set(finalizers=list(action.finalizers))
        elif isinstance(action, Delete):
            key = action.kind.name, action.name
            found = self.objects.get(key)
            if found is not None and found["metadata"]["uid"] == action.uid:
                self.delete(*key, force=action.force)

    def _set(self, **metadata: object) -> None:
        stored = self.job.to_dict()
        stored["metadata"] |= metadata
        self.job = FineTuneJob.from_stored(stored)
        meta = self.job.metadata
        self.gone = meta.deletion_timestamp is not None and not meta.finalizers

    # What the user, the cluster and the provider do.

    def delete_job(self) -> None:
        """The user deletes the job; what it owns goes once it is gone."""
        self._set(deletionTimestamp=self.now.isoformat())

    def give_nodes(self) -> None:
        """Every NodeClaim gets its node."""
        for claim in self.all("NodeClaim"):
            claim["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}

    def refuse_node(self, claim: Object) -> None:
        """No capacity: the claim goes, and an event stays."""
        name = claim["metadata"]["name"]
        said = "no Standard_NC24ads_A100_v4 in westeurope"
        event = {"involvedObject": {"name": name}, "message": said}
        self.without_capacity.append((self.now, event))
        self.delete("NodeClaim", name)

    def admit(self) -> None:
        """The queue lets every Job run that it holds."""
        for each in self.all("Job"):
            each["spec"]["suspend"] = False

    def preempt(self, name: str) -> None:
        """The queue stops a Job: its pods are told to leave."""
        job = self.objects["Job", name]
        job["spec"]["suspend"] = True
        for pod in self.pods():
            if pod["owner"] == job["metadata"]["uid"]:
                self.delete("Pod", pod["metadata"]["name"])

    def all(self, kind: str) -> list[Object]:
        return [each for (its_kind, _), each in self.objects.items() if its_kind == kind]

    def pods(self) -> list[Object]:
        """Pods that are not over."""
        return [
            pod for pod in self.all("Pod") if pod["status"]["phase"] not in ("Succeeded", "Failed")
        ]

    def make_pods(self) -> None:
        """The Job controller makes the pods of Jobs that have none."""
        for each in self.all("Job"):
            labels = each["spec"]["template"]["metadata"]["labels"]
            own = [pod for pod in self.all("Pod") if pod["owner"] == each["metadata"]["uid"]]
            if own or each.get("status") or each["spec"].get("suspend"):
                continue
            for index in range(each["spec"].get("parallelism", 1)):
                name = f"{each['metadata']['name']}-{index}-{next(self._uids)}"
                self.objects["Pod", name] = {
                    "metadata": {
                        "name": name,
                        "namespace": "team",
                        "uid": f"uid-{name}",
                        "labels": labels,
                        "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
                    },
                    "owner": each["metadata"]["uid"],
                    "spec": copy.deepcopy(each["spec"]["template"]["spec"]),
                    "status": {"phase": "Pending"},
                }

    def run(self, pod: Object, node: str = "n") -> None:
        """The kubelet starts a pod."""
        pod["spec"]["nodeName"] = node
        states = [
            {"name": each["name"], "image": "i", "state": {"running": {}}}
            for each in pod["spec"]["containers"]
        ]
        pod["status"] = {"phase": "Running", "containerStatuses": states}

    def end(self, pod: Object, code: int = 0, message: str = "") -> None:
        """A pod's containers end, all well or the main one with that code; its Job hears of it.

        Of a main container that ends well, a message takes the place of the usual one.
        """
        ends = trainer.well(pod)
        main = pod["spec"]["containers"][0]["name"]
        states = []
        for name, end in ends.items():
            failed = code and name == main
            ended = {
                "exitCode": code if failed else 0,
                "message": message if failed or (message and name == main) else end.message,
            }
            states.append({"name": name, "image": "i", "state": {"terminated": ended}})
        phase = "Failed" if code else "Succeeded"
        pod["status"] = {
            "phase": phase,
            "containerStatuses": states,
            "conditions": pod["status"].get("conditions", []),
        }
        self._tell_job(pod, code)
        if "deletionTimestamp" in pod["metadata"]:
            self.objects.pop(("Pod", pod["metadata"]["name"]), None)

    def evict(self, pod: Object) -> None:
        """The eviction API: the pod is told to leave."""
        pod["status"].setdefault("conditions", []).append(
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        )
        self.delete("Pod", pod["metadata"]["name"])

    def delete(self, kind: str, name: str, *, force: bool = False) -> None:
        """Deletes an object; a running pod ends some time later, by `end` or by force."""
        found = self.objects[kind, name]
        if kind == "Pod" and not force and found["status"]["phase"] in ("Pending", "Running"):
            by = self.now + timedelta(seconds=120)
            found["metadata"].setdefault("deletionTimestamp", by.isoformat())
            found["metadata"].setdefault("deletionGracePeriodSeconds", 120)
            if found["status"]["phase"] == "Pending":
                self.objects.pop((kind, name))
            return
        self.objects.pop((kind, name))
        if kind == "Job":
            for pod in self.all("Pod"):
                if pod["owner"] == found["metadata"]["uid"]:
                    self.delete("Pod", pod["metadata"]["name"])

    def _tell_job(self, pod: Object, code: int) -> None:
        owner = next(
            (each for each in self.all("Job") if each["metadata"]["uid"] == pod["owner"]), None
        )
        if owner is None or owner.get("status"):
            return
        own = [each for each in self.all("Pod") if each["owner"] == pod["owner"]]
        if code:
            rule = 0 if pod["status"]["conditions"] else self._rule(code)
            text = f"Container exited with {code}"
            said = f"{text} matching FailJob rule at index {rule}" if rule is not None else text
            self._finish(owner, "FailureTarget", said)
            for each in own:
                if each["status"]["phase"] in ("Pending", "Running"):
                    self.delete("Pod", each["metadata"]["name"])
        elif all(each["status"]["phase"] == "Succeeded" for each in own):
            self._finish(owner, "Complete", "")

    def _finish(self, owner: Object, kind: str, message: str) -> None:
        condition = {
            "type": kind,
            "status": "True",
            "message": message,
            "lastTransitionTime": self.now.isoformat(),
        }
        owner["status"] = {"conditions": [condition]}

    def _rule(self, code: int) -> int | None:
        codes = [int(each) for each in FAIL_JOB_ON]
        return codes.index(code) + 1 if code in codes else None

    # What tests ask for all the time.

    def to_training(self) -> Object:
        """Goes on until the pod of a training attempt runs, and gives that pod."""
        for _ in range(20):
            self.settle()
            self.give_nodes()
            self.make_pods()
            waiting = [pod for pod in self.pods() if pod["status"]["phase"] == "Pending"]
            for pod in waiting:
                self.run(pod)
                if trainer.attempt_of(pod)[1] == "train":
                    self.settle()
                    return pod
                self.end(pod)
            self.now += timedelta(seconds=30)
        raise AssertionError(f"never trained: {self.job.status}")

    def finish_well(self, rounds: int = 90) -> None:
        """From here on all goes well, until the job is over. What was refused is asked for again
        within an hour."""
        for _ in range(rounds):
            self.settle()
            self.give_nodes()
            self.admit()
            self.make_pods()
            for pod in self.pods():
                if "deletionTimestamp" in pod["metadata"]:
                    self.end(pod, 13)
                else:
                    self.run(pod)
                    self.end(pod)
            self.settle()
            if self.gone or self.job.status.phase in ("Succeeded", "Failed"):
                return
            self.now += timedelta(seconds=60)
        raise AssertionError(f"does not come to an end: {self.job.status}")
