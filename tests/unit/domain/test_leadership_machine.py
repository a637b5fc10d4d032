"""Never two leaders, whatever is lost, late or repeated; and one again once that is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from finetune_operator.domain.leadership import (
    LEASE_SECONDS,
    LOOK_SECONDS,
    RENEW_DEADLINE_SECONDS,
    Candidate,
    absent,
    held,
    read,
    released,
)

Object = dict[str, Any]
ABSENT = absent("system", "operator")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
FASTEST = 1.49
"""Times as fast as the slowest clock; what 12 s and 8 s bear is 1.5."""


class Server:
    """The API server's part: versions, and writes that change nothing."""

    def __init__(self) -> None:
        self.lease = ABSENT
        self._version = 0

    def write(self, wanted: Object) -> Object | None:
        """The Lease as it is stored, or None: a conflict."""
        given = wanted["metadata"].get("resourceVersion", "")
        if given != self.lease["metadata"].get("resourceVersion", ""):
            return None
        if wanted != self.lease:
            self._version += 1
            metadata = wanted["metadata"] | {"resourceVersion": str(self._version)}
            self.lease = wanted | {"metadata": metadata}
        return self.lease


@dataclass
class Write:
    """A request on its way; the answer is there once the server has seen it."""

    lease: Object
    sent: float
    arrived: bool = False
    answer: Object | None = None


@dataclass
class Replica:
    """A process with clocks of its own."""

    name: str
    offset: float
    speed: float
    candidate: Candidate = field(init=False)
    lease: Object = field(init=False)
    asked: Write | None = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """With nothing in memory, under the same name."""
        self.candidate, self.lease, self.asked = Candidate(self.name), ABSENT, None

    def clock(self, true_time: float) -> float:
        return self.offset + self.speed * true_time

    def leads(self, true_time: float) -> bool:
        return self.clock(true_time) < self.candidate.leads_until


WHICH = st.sampled_from([0, 0, 1, 1, 2])
WALLS = st.sampled_from([NOON, NOON + timedelta(hours=1), NOON - timedelta(hours=1)])
DELAYS = st.sampled_from([0, 0, 0, 0.01, 1, 2, 7, 11])


class Replicas(RuleBasedStateMachine):
    @initialize(
        offsets=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3),
        fast=st.sampled_from([0, 1, 2, None]),
    )
    def they_start(self, offsets: list[float], fast: int | None) -> None:
        self.time = 0.0
        self.server = Server()
        self.replicas = [
            Replica("abc"[number], offset, FASTEST if number == fast else 1)
            for number, offset in enumerate(offsets)
        ]
        self.under_way: list[Write] = []

    @rule(seconds=DELAYS)
    def time_passes(self, seconds: float) -> None:
        self.time += seconds

    @rule(
        which=WHICH,
        of=WHICH,
        early=st.sampled_from([0, 0.01, 0.5, -0.01, -0.5]),
        wall=WALLS,
        there=DELAYS,
        back=DELAYS,
        looks=st.booleans(),
        seen=st.booleans(),
    )
    def one_comes_when_it_matters(
        self,
        *,
        which: int,
        of: int,
        early: float,
        wall: datetime,
        there: float,
        back: float,
        looks: bool,
        seen: bool,
    ) -> None:
        """When a replica may take the Lease or has to stop, or just before or after it."""
        replica, other = self.replicas[which], self.replicas[of]
        moment = other.candidate.free_at if which == of else other.candidate.leads_until
        self.time = max(self.time, (moment - early - other.offset) / other.speed)
        if looks:
            self.look(replica)
        if not self.send(replica, wall):
            return
        self.time += there
        self.arrives(self.under_way.pop())
        if seen:
            for each in self.replicas:
                if not each.leads(self.time):
                    self.look(each)
        self.never_two()
        self.time += back
        self.hear(replica)

    @rule(which=WHICH)
    def one_looks(self, which: int) -> None:
        self.look(self.replicas[which])

    @rule(which=WHICH, wall=WALLS)
    def one_only_sends(self, which: int, wall: datetime) -> None:
        """What becomes of it is seen later; meanwhile it may give up, look, and write again."""
        self.send(self.replicas[which], wall)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def a_write_arrives(self, data: st.DataObject) -> None:
        """In any order, and long after its sender has given up or died."""
        self.arrives(self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1))))

    @rule(which=WHICH)
    def its_answer_comes_back(self, which: int) -> None:
        self.hear(self.replicas[which])

    @rule(arrives=st.booleans())
    def the_leader_gives_the_lease_back(self, arrives: bool) -> None:
        """And lives on, as it does until its process has ended."""
        for replica in self.replicas:
            if replica.leads(self.time):
                replica.candidate, replica.asked = replica.candidate.stopped(), None
                self.under_way.append(Write(released(replica.lease), 0))
                if arrives:
                    self.arrives(self.under_way.pop())

    @rule(which=WHICH)
    def one_dies_and_is_started_again(self, which: int) -> None:
        self.replicas[which].start()

    @invariant()
    def never_two(self) -> None:
        leaders = [each.name for each in self.replicas if each.leads(self.time)]
        assert len(leaders) <= 1, leaders

    def teardown(self) -> None:
        """Once nothing is lost any more, one of them leads before 20 s have passed."""
        if not hasattr(self, "replicas"):
            return
        while self.under_way:
            self.arrives(self.under_way.pop())
        end = self.time + LEASE_SECONDS + 2 * LOOK_SECONDS
        while not any(each.leads(self.time) for each in self.replicas):
            assert self.time < end
            self.time += LOOK_SECONDS
            for each in self.replicas:
                self.one_looks_and_writes_at_once(each)
                self.never_two()

    def one_looks_and_writes_at_once(self, replica: Replica) -> None:
        self.look(replica)
        if self.send(replica, NOON):
            self.arrives(self.under_way.pop())
            self.hear(replica)

    def look(self, replica: Replica) -> None:
        found = self.server.lease
        replica.lease = found
        replica.candidate = replica.candidate.saw(
            None if found is ABSENT else read(found), replica.clock(self.time)
        )

    def send(self, replica: Replica, wall: datetime) -> bool:
        now = replica.clock(self.time)
        if replica.candidate.free_at > now:
            return False
        replica.asked = Write(held(replica.lease, replica.name, "", wall), now)
        self.under_way.append(replica.asked)
        return True

    def arrives(self, write: Write) -> None:
        write.arrived, write.answer = True, self.server.write(write.lease)

    def hear(self, replica: Replica) -> None:
        write = replica.asked
        if write is None or not write.arrived:
            return
        replica.asked = None
        if write.answer is not None:
            replica.lease = write.answer
            replica.candidate = replica.candidate.wrote(
                read(write.answer), write.sent, replica.clock(self.time)
            )


Replicas.TestCase.settings = settings(max_examples=600, stateful_step_count=40, deadline=None)
TestReplicas = Replicas.TestCase


def test_even_the_fastest_standby_is_later_than_the_slowest_leader() -> None:
    assert LEASE_SECONDS / FASTEST > RENEW_DEADLINE_SECONDS
