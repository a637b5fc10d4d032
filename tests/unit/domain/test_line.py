"""Whose turn it is: never past a limit, nobody forgotten, and the same answer every time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.domain.line import (
    MAY_START,
    Entrant,
    Hold,
    Key,
    Limits,
    Standing,
    Turn,
    fair_order,
    rounded,
    turns,
)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NAMESPACES = ("red", "green", "blue")


def entrant(name: str, namespace: str = "red", **fields: object) -> Entrant:
    """One that waits since so many seconds after noon."""
    seconds = fields.pop("since", 0)
    assert isinstance(seconds, int)
    made = Entrant(namespace, name, "default", Standing.WAITS, since=NOON + timedelta(0, seconds))
    return replace(made, **fields)  # type: ignore[arg-type]


def names(order: list[Entrant]) -> list[str]:
    return [each.name for each in order]


def test_of_one_namespace_the_one_that_has_waited_for_longest_goes_first() -> None:
    just_come = replace(entrant("new"), since=None)
    order = fair_order([just_come, entrant("a", since=9), entrant("b", since=5)], {})
    assert names(order) == ["b", "a", "new"]


def test_namespaces_take_turns_by_who_runs_fewest() -> None:
    greedy = [entrant(f"r{number}", since=number) for number in range(3)]
    modest = [entrant(f"g{number}", "green", since=100 + number) for number in range(2)]
    assert names(fair_order([*greedy, *modest], {})) == ["r0", "g0", "r1", "g1", "r2"]
    assert names(fair_order([*greedy, *modest], {"red": 2}))[:2] == ["g0", "g1"]


def test_a_higher_priority_goes_before_every_lower_one() -> None:
    urgent = entrant("urgent", priority=1000, since=50)
    waiting = [entrant("old"), entrant("other", "green"), urgent]
    assert names(fair_order(waiting, {"red": 7}))[0] == "urgent"


def test_a_namespace_at_its_limit_is_in_nobody_elses_way() -> None:
    limits = {"default": Limits(running_per_namespace=1)}
    found = turns(
        [
            entrant("runs", standing=Standing.RUNS),
            entrant("first", since=1),
            entrant("second", since=2),
            entrant("free", "green", since=3),
        ],
        limits,
    )
    assert found == {
        ("red", "first"): Turn(Hold.NAMESPACE, 1, 2, limit=1),
        ("red", "second"): Turn(Hold.NAMESPACE, 2, 2, limit=1),
        ("green", "free"): MAY_START,
    }


def test_classes_do_not_stand_in_each_others_line() -> None:
    limits = {"default": Limits(running=1), "large": Limits(running=1)}
    other = entrant("other", class_name="large", standing=Standing.RUNS)
    assert turns([other, entrant("mine")], limits)["red", "mine"] == MAY_START


def test_jobs_of_several_nodes_start_one_at_a_time_and_the_next_is_named() -> None:
    whole = [entrant(name, whole=True, since=number) for number, name in enumerate("abc")]
    found = turns([*whole, entrant("single")], {})
    assert found["red", "a"] == found["red", "single"] == MAY_START
    assert found["red", "b"] == Turn(Hold.START, 1, 2, by="red/a")
    starting = replace(whole[0], standing=Standing.STARTS)
    found = turns([starting, *whole[1:]], {})
    assert found["red", "c"] == Turn(Hold.START, 2, 2, by="red/a")


def test_whom_a_limit_holds_does_not_stand_in_the_line_for_starting() -> None:
    limits = {"default": Limits(running=1)}
    held = entrant("held", whole=True)
    other = entrant("other", class_name="large", whole=True, since=9)
    found = turns([entrant("runs", standing=Standing.RUNS), held, other], limits)
    assert found == {held.key: Turn(Hold.CLASS, 1, 1, limit=1), other.key: MAY_START}


def test_between_two_attempts_a_job_keeps_its_place() -> None:
    again = entrant("again", keeps_place=True)
    found = turns([again, entrant("waits")], {"default": Limits(running=1)})
    assert found["red", "again"] == MAY_START
    assert found["red", "waits"].hold is Hold.CLASS


def test_a_place_far_back_is_told_in_round_numbers() -> None:
    assert [rounded(place) for place in (1, 20, 21, 99, 101, 1234)] == [1, 20, 20, 90, 100, 1200]


@st.composite
def lines(draw: st.DrawFn) -> tuple[list[Entrant], dict[str, Limits]]:
    made = [
        entrant(
            f"j{number}",
            draw(st.sampled_from(NAMESPACES)),
            class_name=draw(st.sampled_from(["default", "large"])),
            standing=draw(st.sampled_from([Standing.WAITS, Standing.WAITS, *Standing])),
            priority=draw(st.sampled_from([0, 0, 0, 10])),
            since=draw(st.integers(0, 5)),
            whole=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 12)))
    ]
    bound = st.none() | st.integers(1, 3)
    limits = {name: Limits(draw(bound), draw(bound)) for name in ("default", "large")}
    return made, limits


def running(entrants: list[Entrant]) -> list[Entrant]:
    return [each for each in entrants if each.standing is not Standing.WAITS]


@given(lines(), st.randoms(use_true_random=False))
def test_no_limit_is_passed_and_the_order_of_the_list_means_nothing(
    line: tuple[list[Entrant], dict[str, Limits]], shuffler: object
) -> None:
    entrants, limits = line
    found = turns(entrants, limits)
    mixed = list(entrants)
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    assert turns(mixed, limits) == found
    before = running(entrants)
    started = [each for each in entrants if found.get(each.key) == MAY_START]
    for name, limit in limits.items():
        now = [each for each in [*before, *started] if each.class_name == name]
        new = [each for each in started if each.class_name == name]
        assert not new or limit.running is None or len(now) <= limit.running
        by_namespace = Counter(each.namespace for each in now)
        for each in new:
            most = limit.running_per_namespace
            assert most is None or by_namespace[each.namespace] <= most
    starting = [each for each in before if each.standing is Standing.STARTS]
    assert len([each for each in started if each.whole]) <= (0 if starting else 1)
    waiting = {each.key for each in entrants if each.standing is Standing.WAITS}
    assert set(found) == waiting, "everybody that waits is told"
    places = sorted(turn.place for turn in found.values() if turn.hold is Hold.START)
    assert places == [*range(1, len(places) + 1)]


@given(lines(), st.data())
def test_everybody_starts_however_the_others_end(
    line: tuple[list[Entrant], dict[str, Limits]], data: st.DataObject
) -> None:
    """Nobody waits for ever: while somebody waits, somebody may start or something still runs."""
    entrants, limits = line
    served: list[Key] = []
    for _ in range(4 * len(entrants)):
        found = turns(entrants, limits)
        free = [each for each in entrants if found.get(each.key) == MAY_START]
        busy = running(entrants)
        if free:
            each = data.draw(st.sampled_from(free))
            served.append(each.key)
            standing = Standing.STARTS if each.whole else Standing.RUNS
            entrants = [replace(e, standing=standing) if e is each else e for e in entrants]
        elif busy:
            each = data.draw(st.sampled_from(busy))
            entrants = [other for other in entrants if other is not each]
        else:
            break
    assert not entrants or not turns(entrants, limits), "all that waited were served"
    assert len(served) == len(set(served))


@given(lines(), st.integers(0, 20))
def test_a_namespace_that_runs_nothing_waits_for_each_other_one_at_most_once(
    line: tuple[list[Entrant], dict[str, Limits]], newcomers: int
) -> None:
    """However many jobs the others bring: its first goes before their second of one priority."""
    entrants, _ = line
    crowd = [entrant(f"c{number}", "red") for number in range(newcomers)]
    mine = entrant("mine", "violet", since=9)
    waiting = [replace(each, priority=0) for each in entrants if each.standing is Standing.WAITS]
    order = fair_order([*waiting, *crowd, mine], {})
    before = Counter(each.namespace for each in order[: order.index(mine)])
    assert all(count == 1 for count in before.values()), before
