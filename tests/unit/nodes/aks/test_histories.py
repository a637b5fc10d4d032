"""Whatever happens, in whatever order: no pool is left that no job owns, no job has two for long,
and nobody else's pool is ever touched.

Every decision is the provisioner's own; Azure is a cluster in memory, and the operator dies
between any two of its requests.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from finetune_operator.domain.actions import Action, DeleteAgentPool, PutAgentPool
from finetune_operator.domain.provisioning import Provision
from finetune_operator.nodes.aks import sweep
from finetune_operator.nodes.aks.agent_pool import JOB_UID
from finetune_operator.nodes.aks.decide import decide
from tests.arm.cluster import FakeCluster, Json
from tests.unit.nodes.aks.azure_in_memory import AzureInMemory
from tests.unit.nodes.aks.builders import Clock, aks_class
from tests.unit.nodes.aks.error_cases import CASES
from tests.unit.nodes.aks.world import Job
from tests.unit.nodes.builders import LARGE, LARGE_SPOT, SMALL

OFFERS = st.permutations([LARGE, LARGE_SPOT, SMALL]).map(lambda found: tuple(found[:2]))
TROUBLES = st.sampled_from([case.answer for case in CASES.values()])
INDEX = st.integers(0, 3)


class Histories(RuleBasedStateMachine):
    """Up to four jobs of one class."""

    @initialize(
        grace=st.sampled_from([0, 600]),
        own=st.booleans(),
        jobs=st.lists(st.tuples(OFFERS, st.integers(1, 2)), min_size=1, max_size=3),
    )
    def begin(self, grace: int, own: bool, jobs: list[tuple[Any, int]]) -> None:
        self.clock = Clock()
        self.cluster = FakeCluster(self.clock, seconds=120)
        names = ["gpua", "gpub"] if own else []
        self.its_class = aks_class(graceSeconds=grace, agentPools=names)
        self.theirs = {"system": self.cluster.foreign("system").json()}
        taken = {"finetune-operator-job-uid": "somebody-elses", "finetune-operator-job": "a/b"}
        self.theirs["other"] = self.cluster.foreign("other", tags=taken).json()
        for name, offer in zip(names, (LARGE, SMALL), strict=False):
            self.cluster.foreign(name, count=0, vmSize=offer.instance_type, tags={"team": "x"})
        self.own = names
        self.jobs = [
            Job(f"job-{number}", offers=offers, nodes=nodes)
            for number, (offers, nodes) in enumerate(jobs)
        ]
        self.gone: set[str] = set()
        self.azure = AzureInMemory(self.cluster)
        self.refused: list[Any] = []
        self.failing: list[Json] = []
        self.cluster.refuse = lambda name, body: self.refused.pop() if self.refused else None
        self.cluster.fail = lambda name, body: self.failing.pop() if self.failing else None

    # What happens.

    @precondition(lambda self: len(self.jobs) < 4)
    @rule(offers=OFFERS, nodes=st.integers(1, 2))
    def apply(self, offers: Any, nodes: int) -> None:
        self.jobs.append(Job(f"job-{len(self.jobs)}", offers=offers, nodes=nodes))

    @rule(index=INDEX, survives=st.integers(0, 9), remembers=st.booleans())
    def look(self, index: int, survives: int, remembers: bool) -> None:
        """Dies after so many actions; and perhaps before the status is written."""
        for job in self._some(index):
            self._reconcile(job, survives, remembers=remembers)

    @rule(rounds=st.integers(1, 6))
    def all_goes_well_for_a_while(self, rounds: int) -> None:
        for _ in range(rounds):
            for job in self._living():
                self._reconcile(job)
            self.clock.forward(30)

    @rule(first=INDEX, second=INDEX)
    def look_at_once(self, first: int, second: int) -> None:
        """Two workers, or an operator and its follower: both decide, then both act."""
        jobs = [*self._some(first), *self._some(second)]
        for job, found in [(job, self._decide(job)) for job in jobs]:
            self._remember(job, found)
            for action in found.actions:
                self._carry_out(action)

    @rule(seconds=st.sampled_from([1, 15, 60, 130, 700, 4000]))
    def time_goes_by(self, seconds: int) -> None:
        self.clock.forward(seconds)

    @rule(index=INDEX)
    def suspend_or_resume(self, index: int) -> None:
        for job in self._some(index):
            job.wanted = not job.wanted

    @rule(index=INDEX)
    def finalizer_is_removed_by_hand(self, index: int) -> None:
        for job in self._some(index):
            self.gone.add(job.uid)

    @rule()
    def operator_starts_anew(self) -> None:
        self.azure.answers.clear()

    @rule(trouble=TROUBLES)
    def next_request_is_refused(self, trouble: Any) -> None:
        self.refused = [trouble]

    @rule(trouble=TROUBLES)
    def next_operation_fails(self, trouble: Any) -> None:
        self.failing = [trouble.body.get("error") or {"code": "InternalOperationError"}]

    @rule(index=INDEX)
    def machines_are_taken_away(self, index: int) -> None:
        for name in [each for each in self.cluster.pools if each not in self.theirs][index:]:
            self.cluster.evict(name)

    @rule(waits=st.booleans())
    def deletions_have_to_wait(self, waits: bool) -> None:
        self.cluster.delete_waits = waits

    @rule()
    def sweep(self) -> None:
        seen = self.azure.seen()
        owners = sweep.owners(self.its_class, seen.pools)
        lost = {each for each in owners if each.uid not in {job.uid for job in self._living()}}
        for found in sweep.leftovers(self.its_class, seen, lost):
            for action in found.actions:
                self._carry_out(action)

    # What always holds.

    @invariant()
    def nobody_elses_is_touched(self) -> None:
        shown = {each["name"]: each for each in self.cluster.all() if each["name"] in self.theirs}
        assert shown == self.theirs
        assert not {name for _, name in self.cluster.writes} & self.theirs.keys()
        deleted = {name for verb, name in self.cluster.writes if verb == "DELETE"}
        assert not deleted & set(self.own)

    @invariant()
    def whoever_may_start_has_nodes_to_itself(self) -> None:
        for job in self._living():
            found = self._decide(job)
            if found.ready:
                (pool,) = found.placement.node_selector.values()
                assert self.cluster.pools[pool].properties["tags"][JOB_UID] == job.uid
                assert len(self.cluster.pools[pool].nodes) >= job.nodes

    def teardown(self) -> None:
        """Troubles end; jobs that want nodes get them, and then all is given back."""
        if not hasattr(self, "cluster"):
            return
        self.refused, self.failing, self.cluster.delete_waits = [], [], False
        wanting = [job for job in self._living() if job.wanted]
        # Of the platform team's pools there may be too few for all of them.
        enough = not self.own or len(wanting) == 1
        self._go_on(lambda: not enough or all(map(self._has_one_pool, wanting)))
        for job in self._living():
            job.wanted = False
        self._go_on(lambda: not any(self._decide(job).held for job in self._living()))
        self._go_on(self._is_as_before)

    # How it is carried out.

    def _go_on(self, holds: Any) -> None:
        for _ in range(60):
            if holds():
                return
            for job in self._living():
                self._reconcile(job)
            self.sweep()
            self.clock.forward(60 if self.clock().minute % 7 else 24 * 3600)
        raise AssertionError(f"in vain: {[self._decide(job) for job in self._living()]}")

    def _is_as_before(self) -> bool:
        """Nothing costs any more, and the platform team's pools are as they were."""
        own = [self.cluster.pools[name] for name in self.own]
        return set(self.cluster.pools) == {*self.theirs, *self.own} and all(
            pool.nodes == [] and pool.properties["tags"] == {"team": "x"} for pool in own
        )

    def _living(self) -> list[Job]:
        return [job for job in self.jobs if job.uid not in self.gone]

    def _some(self, index: int) -> list[Job]:
        """One, if there is any."""
        living = self._living()
        return [living[index % len(living)]] if living else []

    def _has_one_pool(self, job: Job) -> bool:
        """Its nodes are ready, and nothing else costs for its sake."""
        pools = [each for each in self.cluster.all() if _tags(each).get(JOB_UID) == job.uid]
        return self._decide(job).ready and len(pools) == 1

    def _decide(self, job: Job) -> Provision:
        return decide(self.its_class, job.request(self.clock()), self.azure.seen())

    def _reconcile(self, job: Job, survives: int = 9, *, remembers: bool = True) -> None:
        found = self._decide(job)
        for action in found.actions[:survives]:
            self._carry_out(action)
        if remembers:
            self._remember(job, found)

    def _remember(self, job: Job, found: Provision) -> None:
        for refusal in found.refusals:
            job.unavailable[refusal.offer] = self.clock() + timedelta(seconds=refusal.seconds)

    def _carry_out(self, action: Action) -> None:
        assert isinstance(action, PutAgentPool | DeleteAgentPool)
        self.azure.carry_out(action)


def _tags(pool: Json) -> Json:
    tags: Json = pool["properties"].get("tags", {})
    return tags


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
