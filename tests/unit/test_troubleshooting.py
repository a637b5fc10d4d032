"""docs/troubleshooting.md says of every reason what to do, and no more reasons than there are."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from finetune_operator.api.condition_reasons import CONDITION_REASONS
from finetune_operator.api.conditions import Condition, ConditionType
from finetune_operator.api.crds import KINDS, crd
from finetune_operator.api.reason import Reason
from finetune_operator.api.troubleshooting import ADVICE
from finetune_operator.api.troubleshooting_page import troubleshooting_page
from finetune_operator.cli import COMMANDS
from finetune_operator.domain.inference.server import WORKSPACE
from finetune_operator.domain.names import JOB, Role
from finetune_operator.domain.observed import BatchJob, Container, Notice, Observed, Pod
from finetune_operator.domain.waiting import explain
from finetune_trainer.exit_codes import ExitCode
from tests.unit.domain import histories as jobs
from tests.unit.inference import histories as workspaces

Shown = tuple[str, str, str]
OTHERS = {"events", "nodes", "pods", "resourcequotas", "secrets", "serviceaccounts", "services"}
OTHERS |= {"deployments", "configmaps", "persistentvolumeclaims", "persistentvolumeclaim", "secret"}
OTHERS |= {"localqueues", "storageclasses", "workloads"}
RESOURCES = OTHERS | {kind.resource.plural for kind in KINDS}
RESOURCES |= {kind.__name__.lower() for kind in KINDS}
VAGUE = re.compile(r"^(Do what|See|Read|Check|Look at|Contact|Try)\b|\blogs?\.$")


def documented() -> set[Shown]:
    return {
        (condition.value, status, reason.value)
        for condition, by_status in CONDITION_REASONS.items()
        for status, reasons in by_status.items()
        for reason in reasons
    }


def told(conditions: tuple[Condition, ...]) -> set[Shown]:
    return {(each.type, each.status, each.reason) for each in conditions}


def shown() -> set[Shown]:
    found: set[Shown] = set()
    for history in jobs.HISTORIES.values():
        for job in history().history:
            found |= told(job.status.conditions)
    for tell in workspaces.HISTORIES.values():
        found |= told(tell().status.conditions)
    return found


def test_the_tables_hold_what_conditions_show_and_nothing_else() -> None:
    found = shown()
    assert found - documented() == set(), "not in the documentation"
    assert documented() - found == set(), "in the documentation, and never shown"


def test_every_condition_and_every_reason_is_there() -> None:
    assert set(CONDITION_REASONS) == set(ConditionType)
    found = {Reason(reason) for _, _, reason in documented()}
    assert found == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_who_has_to_act_is_told_how(reason: Reason) -> None:
    stalls = CONDITION_REASONS[ConditionType.STALLED]["True"]
    if reason in stalls:
        assert reason.remedy, "nothing goes on, and nobody is told what to do"
    if reason.remedy:
        assert ADVICE[reason].commands, "what to type is missing"
        assert not VAGUE.search(reason.remedy), reason.remedy
        assert reason.remedy.endswith("."), reason.remedy


def fields(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all fields; the keys of a map are "*"."""
    for name, child in schema.get("properties", {}).items():
        yield (*path, name)
        if "additionalProperties" in child:
            yield (*path, name, "*")
        yield from fields(child.get("items", child), (*path, name))


FIELDS = [
    path
    for kind in KINDS
    for path in fields(crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
]


def exists(field: str) -> bool:
    """Whether an API field has a path that ends so."""
    parts = field.split(".")
    return any(
        len(path) >= len(parts)
        and all(a in (b, "*") for a, b in zip(path[-len(parts) :], parts, strict=True))
        for path in FIELDS
    )


@pytest.mark.parametrize("reason", [each for each in Reason if each.remedy])
def test_a_remedy_names_fields_that_exist(reason: Reason) -> None:
    for field in re.findall(r"\b[a-z][A-Za-z]+(?:\.[a-z][A-Za-z]+)+\b", reason.remedy):
        assert exists(field), field


COMMAND_LINES = sorted({each for advice in ADVICE.values() for each in advice.commands})


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_is_one_that_can_be_typed(line: str) -> None:
    program, verb, *rest = shlex.split(line)
    if program == "finetune":
        assert verb in COMMANDS
        return
    assert program == "kubectl"
    if "-l" in rest:
        assert rest[rest.index("-l") + 1].partition("=")[0] in (JOB, WORKSPACE)
    if "-p" in rest:
        ((part, patch),) = json.loads(rest[rest.index("-p") + 1]).items()
        assert all(exists(f"{part}.{field}") for field in patch)
    for path in re.findall(r"\{\.([A-Za-z.]+)\}", line):
        assert exists(path), path
    if verb in ("get", "describe", "patch"):
        assert set(rest[0].split(",")) <= RESOURCES, rest[0]
    else:
        assert verb in ("logs", "api-resources")


def said_by(sign: str) -> list[Observed]:
    """A container that waits for that reason, or an event of that reason."""
    ours = ("n", "p", "uid-pod", Role.TRAIN, 1)
    waiting = Pod(*ours, node="n", containers=(Container("train", waiting_reason=sign),))
    creating = Pod(
        *ours, node="n", containers=(Container("train", waiting_reason="PodInitializing"),)
    )
    return [
        Observed(pods=(waiting,)),
        Observed(pods=(creating,), notices=(Notice("uid-pod", sign, "as the kubelet says"),)),
        Observed(notices=(Notice("uid-job", sign, "as the API server says"),)),
        Observed(notices=(Notice("uid-job", "FailedCreate", f"pods: {sign}"),)),
    ]


SIGNS = [
    (sign, reason)
    for reason in (
        *(Reason.IMAGE_PULL, Reason.CONTAINER_CANNOT_START, Reason.VOLUME_PENDING),
        *(Reason.QUOTA_EXCEEDED, Reason.PODS_FORBIDDEN),
    )
    for sign in sorted(ADVICE[reason].signs)
]


@pytest.mark.parametrize(("sign", "reason"), SIGNS)
def test_a_sign_leads_to_its_reason(sign: str, reason: Reason) -> None:
    job = BatchJob("n", "chat-train-1", "uid-job", Role.TRAIN, 1)
    found = {waiting.reason for seen in said_by(sign) if (waiting := explain(seen, job))}
    assert reason in found


@pytest.mark.parametrize("code", [code for code in ExitCode if code is not ExitCode.OK])
def test_an_exit_code_is_told_with_its_reason(code: ExitCode) -> None:
    page = troubleshooting_page()
    section = page.partition(f"\n### {code.reason}\n")[2].partition("\n### ")[0]
    assert f"[exit code](exit-codes.md) {code.value}" in section


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    page = troubleshooting_page()
    headings = {
        line.lstrip("# ").lower().replace(" ", "-")
        for line in page.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\(#([a-z-]+)\)", page)) <= headings
