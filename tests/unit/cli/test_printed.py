"""What the commands print of jobs in every state: golden/*.txt, for a person to read."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from finetune_operator.api.reason import Reason
from finetune_operator.cli.columns import columns, named
from finetune_operator.cli.description import describe
from finetune_operator.cli.job_state import end, queue_place, telling
from finetune_operator.cli.list_jobs import table
from finetune_operator.cli.log_sources import Wanted, sources
from finetune_operator.cli.plan import planned
from finetune_operator.cli.refusals import Refused
from finetune_operator.cli.stop import saved_step, what_is_kept
from finetune_operator.cli.top import screenful
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Container, Pod
from finetune_trainer.exit_codes import ExitCode
from tests.unit.cli import stories
from tests.unit.cli.stories import Story
from tests.unit.domain.in_memory import START
from tests.unit.golden import assert_golden_text

GOLDEN = Path(__file__).parent / "golden"
LATER = START + timedelta(days=3)


def printed(lines: Iterable[Text], *, colours: bool = False) -> str:
    """As it goes to a terminal, or elsewhere; the width of nothing matters."""
    written = io.StringIO()
    console = Console(file=written, width=20, force_terminal=colours, highlight=False)
    for line in lines:
        console.print(line, soft_wrap=True)
    return written.getvalue()


@pytest.mark.parametrize("story", stories.ALL, ids=lambda story: story.__name__)
def test_describe(story: Callable[[], Story]) -> None:
    told = story()
    page = printed(describe(told.known(), told.now))
    assert_golden_text(GOLDEN / f"describe-{story.__name__.replace('_', '-')}.txt", page)


def test_list() -> None:
    jobs = [story().job for story in stories.ALL]
    narrow = printed(table(jobs, LATER, namespaces=False, wide=False))
    wide = printed(table(jobs, LATER, namespaces=True, wide=True))
    assert_golden_text(GOLDEN / "list.txt", f"{narrow}\n{wide}")


def test_top() -> None:
    told = [stories.second_attempt(), stories.unschedulable(), stories.suspended()]
    jobs, pods = [each.job for each in told], [pod for each in told for pod in each.known().pods]
    lines = screenful(jobs, pods, told[0].now, namespaces=False)
    none = screenful([], [], LATER, namespaces=False)
    assert_golden_text(GOLDEN / "top.txt", f"{printed(lines)}\n{printed(none)}")


def test_plan() -> None:
    lines = printed(planned(stories.second_attempt().job))
    # Of the recipe: every new field of it would change the digest.
    assert_golden_text(GOLDEN / "plan.txt", re.sub(r"sha256:\w{64}", "sha256:…", lines))
    with pytest.raises(Refused, match=r"no plan yet: ClassNotFound: .* does not exist: create it"):
        planned(stories.without_class().job)


def test_colours_are_for_terminals_only() -> None:
    job = stories.succeeded().job
    plain = printed(table([job], LATER, namespaces=False, wide=False))
    assert "\x1b" not in plain
    coloured = printed(table([job], LATER, namespaces=False, wide=False), colours=True)
    assert "\x1b[32mSucceeded" in coloured


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    job = stories.succeeded().job
    assert "\x1b[32m" not in printed(
        table([job], LATER, namespaces=False, wide=False), colours=True
    )


def test_a_place_in_the_queue_is_shown_where_it_is_told() -> None:
    assert queue_place(stories.in_line().job.status) == "2/5"
    assert queue_place(stories.second_attempt().job.status) == ""


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (stories.without_class, Reason.CLASS_NOT_FOUND),
        (stories.unschedulable, Reason.UNSCHEDULABLE),
        (stories.in_line, Reason.WAITING_FOR_TURN),
        (stories.bad_data, Reason.DATA_ERROR),
        (stories.suspended, Reason.SUSPENDED),
    ],
)
def test_whoever_has_to_act_is_told_how_and_once(
    story: Callable[[], Story], reason: Reason
) -> None:
    told = story()
    found = telling(told.job.status)
    assert found is not None
    assert (found.reason, found.remedy) == (reason, reason.remedy)
    head, _, _ = printed(describe(told.known(), told.now)).partition("Conditions")
    assert head.count(reason.remedy) == 1


@pytest.mark.parametrize(
    ("story", "code"),
    [
        (stories.new, None),
        (stories.second_attempt, None),
        (stories.without_class, None),
        (stories.succeeded, ExitCode.OK),
        (stories.suspended, ExitCode.PREEMPTED),
        (stories.bad_data, ExitCode.DATA_ERROR),
        (stories.diverged, ExitCode.DIVERGED),
    ],
)
def test_an_end_has_the_exit_code_of_the_trainer(
    story: Callable[[], Story], code: ExitCode | None
) -> None:
    ended = end(story().job.status)
    assert (ended.code if ended else None) == code


def test_what_stop_says_was_saved() -> None:
    evicted = stories.second_attempt()
    first = [pod for pod in evicted.known().pods if pod.number == 1]
    assert saved_step(first) is None, "its pod is gone"
    running = stories.Story("saved")
    pod = running.to_training()
    running.trains(420)
    running.end(pod, 13, '{"reason": "Preempted", "message": "saved", "step": 431}')
    assert saved_step(list(running.known().pods)) == 431
    status = running.job.status
    assert what_is_kept(status, 431) == "a checkpoint of step 431 is saved"
    assert what_is_kept(status, None).startswith("training had come to step 420")
    assert what_is_kept(stories.in_line().job.status, None) == (
        "no step was trained yet, and nothing is lost"
    )
    assert what_is_kept(stories.succeeded().job.status, None).startswith("training is complete")


def test_what_an_earlier_attempt_saved_is_not_what_was_saved_now() -> None:
    said = Container("train", exit_code=13, message='{"reason": "P", "message": "", "step": 431}')
    silent = Container("train", exit_code=137)
    pods = [
        Pod("team", f"p-{number}", f"u-{number}", Role.TRAIN, number, containers=(container,))
        for number, container in ((1, said), (2, silent))
    ]
    assert saved_step(pods) is None
    assert saved_step(pods[:1]) == 431


@pytest.mark.parametrize(
    ("wanted", "prefixes"),
    [
        (
            Wanted(),
            [
                "prepare-1/fetch-model",
                "prepare-1/fetch-train-0",
                "prepare-1/check",
                "train-1/0",
                "train-1/1",
            ],
        ),
        (Wanted(attempt=1), ["train-1/0", "train-1/1"]),
        (Wanted(rank=1), ["train-1/1"]),
        (Wanted(attempt=2), []),
    ],
)
def test_which_logs_are_read_and_in_which_order(wanted: Wanted, prefixes: list[str]) -> None:
    story = stories.Story("logs", compute=stories.TWO_NODES)
    story.to_training()
    for pod in story.pods():
        story.run(pod)
    found = [source.prefix for source in sources(story.known().pods, wanted)]
    assert found == prefixes


def test_what_others_wrote_commands_no_terminal() -> None:
    lines = named([("Now", "one\n\x1b[2Jtwo"), ("To do", "")])
    assert printed(lines) == "Now:  one\n      �[2Jtwo\n"
    assert printed(columns(["A", "B"], [["one\n two", "\x9b2J"]])) == "A         B\none two   �2J\n"
