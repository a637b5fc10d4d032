"""Whatever happens in whatever order, and wherever the operator dies: the job comes to its end."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from finetune_operator.api.condition_reasons import CONDITION_REASONS
from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.reason import Reason
from finetune_operator.domain.conditions import find
from finetune_operator.domain.lifecycle.rest import at_rest
from finetune_operator.domain.names import NODES_FINALIZER
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.manifest import Looked, Published
from tests.cluster.simulation import trainer
from tests.unit.domain.in_memory import BY_DIGEST, CLAIMING, CLASS, InMemory, Object, job

DOCUMENTED = {
    (condition.value, status, reason.value)
    for condition, by_status in CONDITION_REASONS.items()
    for status, reasons in by_status.items()
    for reason in reasons
}
ENDS = st.sampled_from([0, 1, 137, *(int(code) for code in ExitCode if code)])


class Life(RuleBasedStateMachine):
    its_class = CLASS

    def __init__(self) -> None:
        super().__init__()
        self.world = InMemory(self.new_job())
        self.world.finetune_class = self.its_class

    def new_job(self) -> FineTuneJob:
        return job(restarts={"limit": 5})

    def made(self, name: str) -> None:
        """Looks at the Job of an attempt that has just been made."""

    @initialize(attempt=st.integers(0, 2))
    def it_has_come_so_far(self, attempt: int) -> None:
        """Most of what can go wrong goes wrong in training; not every life should walk there."""
        for number in range(attempt):
            pod = self.world.to_training()
            if number + 1 < attempt:
                self.world.end(pod, 13)

    def over(self) -> bool:
        return self.world.job.status.phase in ("Succeeded", "Failed")

    @rule(crash_after=st.none() | st.integers(0, 4))
    def the_operator_is_called(self, crash_after: int | None) -> None:
        if self.world.gone:
            return
        before = len(self.world.created)
        known = self.world.job.status.attempts
        alive = self.train_pods()
        was_over = self.world.job.status.phase if self.over() else None
        self.world.reconcile(crash_after)
        self.world.make_pods()
        for _, name in self.world.created[before:]:
            if "-train-" in name:
                assert not alive, f"{name} was made while {alive} could still write"
                number = int(name.rpartition("-")[2])
                assert number > (known.current if known else 0), f"{name} was made again"
                self.made(name)
        if was_over is not None:
            assert self.world.job.status.phase == was_over

    @rule(seconds=st.sampled_from([1, 15, 200]))
    def time_passes(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.world.pods())
    @rule(data=st.data())
    def a_pod_starts(self, data: st.DataObject) -> None:
        pod = self.pick(data)
        if pod["status"]["phase"] == "Pending":
            self.world.run(pod)

    @precondition(lambda self: self.world.pods())
    @rule(data=st.data(), code=ENDS)
    def a_pod_ends(self, data: st.DataObject, code: int) -> None:
        pod = self.pick(data)
        leaving = "deletionTimestamp" in pod["metadata"]
        self.world.end(pod, int(ExitCode.PREEMPTED) if leaving else code, "an error")

    @precondition(lambda self: self.world.pods())
    @rule(data=st.data(), evicted=st.booleans())
    def a_pod_is_told_to_leave(self, data: st.DataObject, evicted: bool) -> None:
        pod = self.pick(data)
        if evicted:
            self.world.evict(pod)
        else:
            self.world.delete("Pod", pod["metadata"]["name"])

    @precondition(lambda self: self.world.all("Job"))
    @rule(data=st.data())
    def somebody_deletes_a_batch_job(self, data: st.DataObject) -> None:
        found = data.draw(st.sampled_from(self.world.all("Job")))
        # Not before the operator has noted it: then nobody could tell that it ever was.
        known = self.world.job.status.attempts
        number = trainer.attempt_of(found)[2]
        if trainer.attempt_of(found)[1] != "train" or (known and number <= known.current):
            self.world.delete("Job", found["metadata"]["name"])

    @rule(suspend=st.booleans())
    def the_user_suspends_or_resumes(self, suspend: bool) -> None:
        self.edit(suspend=suspend)

    @rule(seconds=st.none() | st.sampled_from([300, 900]))
    def the_user_sets_a_budget(self, seconds: int | None) -> None:
        self.edit(budget={} if seconds is None else {"maxDurationSeconds": seconds})

    @rule(queued=st.booleans())
    def a_queue_comes_and_goes(self, queued: bool) -> None:
        self.world.queued = queued

    @rule()
    def the_queue_admits_what_it_holds(self) -> None:
        self.world.admit()

    @precondition(lambda self: self.live_jobs())
    @rule(data=st.data())
    def the_queue_preempts_a_job(self, data: st.DataObject) -> None:
        self.world.preempt(data.draw(st.sampled_from(self.live_jobs())))

    @precondition(lambda self: self.world.job.status.phase in (None, "Pending"))
    @rule(seed=st.integers(0, 3))
    def the_user_edits_the_job(self, seed: int) -> None:
        conditions = {each.type: each.status for each in self.world.job.status.conditions}
        if conditions.get("Accepted") != "True":
            self.edit(training={"seed": seed, "maxLength": 128, "tokensPerBatch": 512})

    @rule(there=st.booleans())
    def the_class_comes_and_goes(self, there: bool) -> None:
        self.world.finetune_class = self.its_class if there else None

    @invariant()
    def counters_add_up(self) -> None:
        attempts = self.world.job.status.attempts
        if attempts is not None:
            assert attempts.failures + attempts.disruptions <= attempts.current

    @invariant()
    def what_it_says_is_in_the_documentation(self) -> None:
        for each in self.world.job.status.conditions:
            assert (each.type, each.status, each.reason) in DOCUMENTED

    @invariant()
    def what_is_at_rest_needs_nothing(self) -> None:
        if not self.world.gone and at_rest(self.world.job):
            found = self.world.decide()
            assert (found.actions, found.events, found.requeue_after) == ((), (), None)
            assert found.status.to_dict() == self.world.job.status.to_dict()

    def teardown(self) -> None:
        self.world.finetune_class = self.its_class
        if self.world.job.spec.suspend or self.world.job.spec.budget.max_duration_seconds:
            self.edit(suspend=False, budget={})
        self.world.finish_well()
        if self.world.gone:
            return
        self.world.settle()
        at_rest = self.world.decide()
        assert not at_rest.actions
        assert not at_rest.events
        assert at_rest.status.to_dict() == self.world.job.status.to_dict()

    def live_jobs(self) -> list[str]:
        return [
            each["metadata"]["name"] for each in self.world.all("Job") if not each.get("status")
        ]

    def train_pods(self) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.world.pods()
            if trainer.attempt_of(pod)[1] == "train"
        ]

    def pick(self, data: st.DataObject) -> Object:
        pod: Object = data.draw(st.sampled_from(self.world.pods()))
        return pod

    def edit(self, **spec: object) -> None:
        stored = self.world.job.to_dict()
        stored["spec"] |= spec
        stored["metadata"]["generation"] += 1
        self.world.job = FineTuneJob.from_stored(stored)


class LifeOnGivenNodes(Life):
    """The same, with nodes that a provider gives, refuses and takes away."""

    its_class = CLAIMING

    def new_job(self) -> FineTuneJob:
        return job(
            restarts={"limit": 5}, compute={"device": "CPU", "instanceTypes": ["large", "small"]}
        )

    def made(self, name: str) -> None:
        super().made(name)
        claims = self.world.all("NodeClaim")
        assert claims, f"{name} was made without nodes"
        assert all("status" in each for each in claims), f"{name} was made before its nodes"

    @rule()
    def the_provider_gives_nodes(self) -> None:
        self.world.give_nodes()

    @precondition(lambda self: self.world.all("NodeClaim"))
    @rule(refused=st.booleans())
    def the_provider_takes_a_node(self, refused: bool) -> None:
        claim = self.world.all("NodeClaim")[0]
        if refused and "status" not in claim:
            self.world.refuse_node(claim)
        else:
            self.world.delete("NodeClaim", claim["metadata"]["name"])

    @rule()
    def the_user_deletes_the_job(self) -> None:
        """With foresight: not before there is something that could be left behind."""
        if self.world.all("NodeClaim"):
            self.world.delete_job()

    @invariant()
    def nothing_is_held_that_nobody_answers_for(self) -> None:
        if self.world.all("NodeClaim"):
            assert NODES_FINALIZER in self.world.job.metadata.finalizers
            assert not self.world.gone

    def teardown(self) -> None:
        super().teardown()
        assert self.world.all("NodeClaim") == []
        assert NODES_FINALIZER not in self.world.job.metadata.finalizers


class LifeWithEarlierResults(Life):
    """The same, where the registry may hold the result already, or fail to say so."""

    its_class = BY_DIGEST

    @initialize(attempt=st.just(0))
    def it_has_come_so_far(self, attempt: int) -> None:
        """What is looked for is looked for before the first attempt."""
        assert attempt == 0

    def made(self, name: str) -> None:
        super().made(name)
        trained = find(self.world.job.status.conditions, ConditionType.TRAINED)
        assert trained is not None, f"{name} was made before anybody had looked"
        assert trained.status == "False", f"{name} was made although there is a result"

    @precondition(lambda self: self.looking())
    @rule(found=st.booleans(), problem=st.sampled_from(["", "it was changed"]))
    def it_is_said_what_there_is(self, found: bool, problem: str) -> None:
        result = Published.model_validate_json(trainer.PUBLISHED) if found else None
        said = Looked(found=result, job="team/earlier", problem="" if found else problem)
        for pod in self.looking():
            self.world.run(pod)
            self.world.end(pod, message=said.model_dump_json())

    def looking(self) -> list[Object]:
        return [
            pod
            for pod in self.world.pods()
            if trainer.attempt_of(pod)[1] == "reuse" and "deletionTimestamp" not in pod["metadata"]
        ]

    @invariant()
    def what_is_reused_costs_nothing(self) -> None:
        trained = find(self.world.job.status.conditions, ConditionType.TRAINED)
        if trained is not None and trained.reason == Reason.REUSED:
            assert self.world.job.status.attempts is None
            assert self.world.job.status.artifacts
            assert not self.train_pods()


FOUR_NODES = {"device": "CPU", "nodes": 4, "minNodes": 2, "minNodesAfterSeconds": 30}
SHARED = {"volumeClaim": {"accessModes": ["ReadWriteMany"]}}


def is_shared_evenly(world: InMemory, name: str) -> None:
    """Of four sequences; and with fewer than all nodes no first attempt starts."""
    pods = world.objects["Job", name]["spec"]["parallelism"]
    assert pods in (2, 4), f"{name} has {pods} pods"
    assert pods == 4 or name != "chat-train-1"


class LifeWithFewerNodes(Life):
    """The same, on four nodes, of which two will do in the end."""

    def new_job(self) -> FineTuneJob:
        return job(restarts={"limit": 5}, compute=FOUR_NODES, checkpoint=SHARED)

    def made(self, name: str) -> None:
        is_shared_evenly(self.world, name)


class LifeWithFewerGivenNodes(LifeOnGivenNodes):
    """The same, where a provider gives them."""

    def new_job(self) -> FineTuneJob:
        compute = {**FOUR_NODES, "instanceTypes": ["large", "small"]}
        return job(restarts={"limit": 5}, compute=compute, checkpoint=SHARED)

    def made(self, name: str) -> None:
        is_shared_evenly(self.world, name)
        ready = [each for each in self.world.all("NodeClaim") if "status" in each]
        pods = self.world.objects["Job", name]["spec"]["parallelism"]
        assert len(ready) >= pods, f"{name} was made before its nodes"


SETTINGS = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLife = Life.TestCase
TestLife.settings = SETTINGS
TestLifeWithEarlierResults = LifeWithEarlierResults.TestCase
TestLifeWithEarlierResults.settings = SETTINGS
TestLifeOnGivenNodes = LifeOnGivenNodes.TestCase
TestLifeOnGivenNodes.settings = SETTINGS
TestLifeWithFewerNodes = LifeWithFewerNodes.TestCase
TestLifeWithFewerNodes.settings = SETTINGS
TestLifeWithFewerGivenNodes = LifeWithFewerGivenNodes.TestCase
TestLifeWithFewerGivenNodes.settings = SETTINGS
