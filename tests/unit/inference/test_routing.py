"""Which revisions answer, and what share each gets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.inference_revision import InferenceRevision
from finetune_operator.api.inference_workspace import TrafficTarget
from finetune_operator.api.reason import Reason
from finetune_operator.domain.inference.routing import (
    Routing,
    Unresolved,
    base_of,
    expired,
    newest_first,
    resolve,
)
from tests.unit.inference.builders import (
    BASE,
    OTHER_BASE,
    full_revision,
    revision,
    traffic,
    workspace,
)


def targets(**shares: int) -> tuple[TrafficTarget, ...]:
    return workspace(traffic=traffic(**shares)).spec.traffic


def resolved(
    revisions: list[InferenceRevision],
    given: tuple[TrafficTarget, ...],
    current: str | None = None,
) -> Routing:
    found = resolve(revisions, given, current)
    assert isinstance(found, Routing)
    return found


def names(revisions: tuple[InferenceRevision, ...]) -> list[str]:
    return [each.metadata.name for each in revisions]


BASE_NAME = base_of(revision(1).spec.model)

ROUTES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "latest": ({"latest": 100}, {"support-0003": 100}),
    "named": ({"n1": 100}, {"support-0001": 100}),
    "canary": ({"latest": 10, "n1": 90}, {"support-0003": 10, "support-0001": 90}),
    "latest is the named one": ({"latest": 10, "n3": 90}, {"support-0003": 100}),
    "no share": ({"latest": 100, "n1": 0}, {"support-0003": 100}),
}


@pytest.mark.parametrize("case", ROUTES)
def test_traffic_is_split_as_written(case: str) -> None:
    shares, wanted = ROUTES[case]
    routing = resolved([revision(1), revision(2), revision(3)], targets(**shares))
    assert {route.revision: route.percent for route in routing.routes} == wanted


def test_every_revision_over_the_base_model_answers_by_name() -> None:
    routing = resolved([revision(1), revision(2), revision(3)], targets(n1=100))
    assert names(routing.served) == ["support-0003", "support-0002", "support-0001"]


def test_a_publication_over_another_base_model_takes_nothing_over() -> None:
    published = [revision(1), revision(2, OTHER_BASE)]
    routing = resolved(published, targets(latest=100), current=BASE_NAME)
    assert names(routing.served) == ["support-0001"]
    assert names(routing.refused) == ["support-0002"]


def test_naming_a_revision_over_another_base_model_changes_the_base_model() -> None:
    published = [revision(1), revision(2, OTHER_BASE)]
    routing = resolved(published, targets(n2=100), current=BASE_NAME)
    assert base_of(routing.model) == base_of(published[1].spec.model)
    assert names(routing.refused) == ["support-0001"]


def test_two_commits_of_one_repository_are_two_base_models() -> None:
    published = [revision(1), revision(2, {**BASE, "revision": "fff0000"})]
    routing = resolved(published, targets(latest=100), current=BASE_NAME)
    assert names(routing.refused) == ["support-0002"]


def test_a_full_fine_tune_replaces_the_one_before() -> None:
    published = [full_revision(1), full_revision(2)]
    current = base_of(published[0].spec.model)
    routing = resolved(published, targets(latest=100), current=current)
    assert names(routing.served) == ["support-0002"]
    back = resolved(published, targets(n1=100), current=base_of(published[1].spec.model))
    assert names(back.served) == ["support-0001"]


def test_an_adapter_over_a_full_fine_tune_is_served_beside_it() -> None:
    whole = full_revision(1)
    adapter = revision(2, whole.spec.model.to_dict())
    routing = resolved([whole, adapter], targets(latest=10, n1=90))
    assert {route.revision: route.percent for route in routing.routes} == {
        "support-0002": 10,
        "support-0001": 90,
    }


UNRESOLVED: dict[str, tuple[list[InferenceRevision], dict[str, int], Reason, str]] = {
    "nothing published": ([], {"latest": 100}, Reason.NO_REVISION, "FineTuneJob"),
    "unknown name": ([revision(1)], {"n9": 100}, Reason.REVISION_NOT_FOUND, "support-0009"),
    "split over two base models": (
        [revision(1), revision(2, OTHER_BASE)],
        {"n1": 50, "n2": 50},
        Reason.OTHER_BASE_MODEL,
        "support-0002 is over hf://Qwen",
    ),
}


@pytest.mark.parametrize("case", UNRESOLVED)
def test_traffic_that_leads_nowhere_says_why(case: str) -> None:
    published, shares, reason, told = UNRESOLVED[case]
    found = resolve(published, targets(**shares), None)
    assert isinstance(found, Unresolved)
    assert found.reason is reason
    assert told in found.message


def test_revisions_of_one_second_are_ordered_by_number() -> None:
    moment = revision(1).metadata.creation_timestamp
    published = [
        each.model_copy(
            update={"metadata": each.metadata.model_copy(update={"creation_timestamp": moment})}
        )
        for each in (revision(9), revision(10000), revision(10))
    ]
    assert names(newest_first(published)) == ["support-10000", "support-0010", "support-0009"]


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[InferenceRevision], tuple[TrafficTarget, ...], Any]:
    """Any revisions over three base models, any split that the API server accepts."""
    numbers = draw(st.lists(st.integers(1, 30), min_size=1, max_size=12, unique=True))
    kinds = st.sampled_from([BASE, OTHER_BASE, None])
    published = [
        revision(number, model) if (model := draw(kinds)) else full_revision(number)
        for number in numbers
    ]
    named = draw(st.lists(st.sampled_from(numbers), max_size=4, unique=True))
    latest = not named or draw(st.booleans())
    shares = ["latest"] * latest + [f"n{number}" for number in named]
    cuts = sorted(draw(st.integers(0, 100)) for _ in shares[1:])
    percents = [b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]
    given = targets(**dict(zip(shares, percents, strict=True)))
    current = draw(st.none() | st.sampled_from([base_of(each.spec.model) for each in published]))
    return published, given, current


@given(situations())
def test_shares_sum_to_100_over_revisions_that_answer(situation: Any) -> None:
    published, given_traffic, current = situation
    found = resolve(published, given_traffic, current)
    if isinstance(found, Unresolved):
        assert found.reason is Reason.OTHER_BASE_MODEL  # every named one exists here
        return
    assert sum(route.percent for route in found.routes) == 100
    assert {route.revision for route in found.routes} <= set(names(found.served))
    assert len({base_of(each.spec.model) for each in found.served}) == 1
    assert sorted(names(found.served + found.refused)) == sorted(names(tuple(published)))


@given(situations(), st.integers(1, 10))
def test_history_never_loses_what_is_named_routed_or_newest(situation: Any, limit: int) -> None:
    published, given_traffic, current = situation
    found = resolve(published, given_traffic, current)
    if isinstance(found, Unresolved):
        return
    kept = {each.revision_name for each in given_traffic if each.revision_name}
    kept |= {route.revision for route in found.routes}
    gone = set(names(expired(published, kept, limit)))
    assert not gone & kept
    assert newest_first(published)[0].metadata.name not in gone
    left = [each for each in published if each.metadata.name not in gone]
    others = [each for each in left if each.metadata.name not in kept]
    assert len(others) <= limit + 1  # the newest is kept besides
    assert set(names(expired(left, kept, limit))) == set()
