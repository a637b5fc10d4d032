"""Many rules as one. That an API server refuses the same, in the same words: tests/cluster."""

import re
from collections import Counter

import pytest

from finetune_operator.api.cel import RULES, Rule
from finetune_operator.api.crds import crd
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.rules_in_one import EACH_RULE, rules_in_one

SHORT = Rule("self.task == 'Chat'", "task is Chat", ".task")
LONG = Rule("self.task != 'Chat' || self.size < 9", "size is below 9", ".size")


def made(*given: Rule) -> list[dict[str, str]]:
    found: list[dict[str, str]] = rules_in_one("read more", *given)[RULES]
    return found


def test_one_rule_stays_as_it_is() -> None:
    assert made(SHORT) == [SHORT.as_schema()]


def test_what_is_looked_up_twice_is_bound_to_its_name() -> None:
    (rule,) = made(SHORT, LONG)
    assert rule == {
        "rule": "[self.task].all(task, (task == 'Chat') && (task != 'Chat' || self.size < 9))",
        "message": "read more",
        "messageExpression": "(((self.task == 'Chat') ? '' : '; ' + (\"task is Chat\"))"
        " + ((self.task != 'Chat' || self.size < 9) ? '' : '; ' + (\"size is below 9\")))"
        ".substring(2)",
    }


@pytest.mark.parametrize(
    ("one", "another", "bound"),
    [
        ("self.a.b > 1", "self.a.b < 9", ["self.a.b"]),
        ("self.a.b > 1", "self.a.bc < 9 && self.a < 1", []),
        ("self.a > 1", "self.a.startsWith('x')", []),
        ("has(self.a.b)", "!has(self.a.b)", ["has(self.a.b)"]),
        # What belongs to something that may be absent can be asked only after that.
        ("!has(self.a) || self.a.b", "!has(self.a) || !self.a.b", ["has(self.a)"]),
        ("!has(self.a) || has(self.a.b)", "!has(self.a) || !has(self.a.b)", ["has(self.a)"]),
        # What an item of a list costs is known only where it is looked up.
        ("'x' in self.a", "self.a.exists(each, each == 'y') || self.a == []", []),
    ],
)
def test_what_can_be_bound(one: str, another: str, bound: list[str]) -> None:
    (rule,) = made(Rule(one, "one"), Rule(another, "another"))
    assert re.findall(r"\[([^\[\]]+)\]\.all", rule["rule"]) == bound[::-1]
    for each in bound:
        assert rule["rule"].count(each) == 1


def test_what_several_depend_on_is_asked_once() -> None:
    one = Rule("self.a == 1", "a is 1", ".spec.a", only_if="x")
    (rule,) = made(one, Rule("self.b == 1", "b is 1", ".spec.b", only_if="x"))
    assert rule["rule"] == "!(x) || ((self.a == 1) && (self.b == 1))"
    assert rule["fieldPath"] == ".spec"


def test_what_looks_back_stays_apart_from_what_holds_at_once() -> None:
    back = Rule("self.a == oldSelf.a", "a stays", ".a")
    assert len(made(SHORT, LONG, back, Rule("self.b == oldSelf.b", "b stays", ".b"))) == 2


def test_a_message_that_tells_more_is_told() -> None:
    (rule,) = made(SHORT, Rule("self.size < 9", "size", ".size", "'size is ' + self.size"))
    assert "'; ' + ('size is ' + self.size)" in rule["messageExpression"]


def test_people_read_each_rule() -> None:
    found = rules_in_one("read more", SHORT, LONG)
    assert found[EACH_RULE] == [SHORT.as_schema(), LONG.as_schema()]


def test_the_rules_of_a_job_look_nothing_up_twice() -> None:
    (version,) = crd(FineTuneJob)["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    (rule,) = spec[RULES]
    assert EACH_RULE not in spec
    times = Counter(re.findall(r"(?:has\()?self(?:\.\w+)+\b(?!\()", rule["rule"]))
    again = {each for each, number in times.items() if number > 1}
    # The first belongs to what may be absent, the others are such themselves, or a list.
    assert again == {
        "self.method.lora.initialization",
        "self.training.weightDecay",
        "self.output.exports",
    }
