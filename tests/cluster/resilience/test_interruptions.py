"""Whatever takes a trainer away, training goes on where it was and ends in the same adapter.

Jobs train at the same time, each with its own mishap; a test looks at how one of them ended.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load

from tests.cluster.kube import Kube, Object, condition, counted, is_true, merge
from tests.cluster.resilience.jobs import (
    INTERVAL,
    STEPS,
    TWO_NODES,
    Sources,
    finetune_job,
    weights,
)
from tests.cluster.resilience.machine import Container, kubelet_stopped
from tests.cluster.resilience.trainer_log import TrainerLog, running_pod

pytestmark = pytest.mark.exclusive

ENDS_WITHIN = 420
"""Seconds until a job is over: all of them share the processors of one machine."""

MIDST = 30
"""The step after which a mishap comes: one checkpoint is written, and most is to be trained yet,
for a mishap must come before the end however late a busy machine lets it."""


@dataclass(frozen=True)
class Story:
    """A job that is over, with the logs of its attempts."""

    job: Object
    logs: tuple[TrainerLog, ...]
    nodes: frozenset[str]
    """On which its last attempt ran."""

    @property
    def attempts(self) -> tuple[int, int, int]:
        """How many there were, and how many were failures and disruptions."""
        return counted(self.job)

    @property
    def repeated(self) -> int:
        """Steps of the first attempt that the second one trained again."""
        first, second = self.logs
        assert first.last < STEPS, "it was not in the midst of training"
        assert second.resumed_from == second.first - 1 > 0
        return first.last - second.resumed_from


class Director:
    """Starts the jobs of one namespace and follows their attempts."""

    def __init__(self, kube: Kube, sources: Sources, until: contextlib.ExitStack) -> None:
        """Follows `until` that is closed."""
        self.kube = kube
        self._sources = sources
        self._until = until

    def start(self, name: str, change: Object) -> None:
        self.kube.apply(finetune_job(name, self._sources, self.kube.namespace, change=change))

    def follow(self, name: str, number: int) -> TrainerLog:
        return self._until.enter_context(TrainerLog.of_attempt(self.kube, name, number))

    def midst(self, name: str, rank: int = 0) -> tuple[TrainerLog, Container]:
        """The log of the first attempt, once it is amid training, and the container of a rank."""
        container = Container.of(running_pod(self.kube, name, 1, rank))
        log = self.follow(name, 1)
        log.wait_for_step(MIDST, deadline=ENDS_WITHIN)
        return log, container

    def end(self, name: str, *logs: TrainerLog) -> Story:
        """Follows the next attempt to the job's end."""
        return self.told(name, (*logs, self.follow(name, len(logs) + 1)))

    def told(self, name: str, logs: tuple[TrainerLog, ...]) -> Story:
        """The whole story, once the job has succeeded."""
        job = self.kube.wait_for_job(name, deadline=ENDS_WITHIN)
        attempt = (
            f"finetune.dev/job={name},finetune.dev/role=train,finetune.dev/attempt={len(logs)}"
        )
        nodes = frozenset(pod["spec"]["nodeName"] for pod in self.kube.items("pods", attempt))
        return Story(job, tuple(log.ended(deadline=30) for log in logs), nodes)


def undisturbed(director: Director, name: str) -> Story:
    return director.end(name)


def killed(director: Director, name: str) -> Story:
    log, container = director.midst(name)
    container.kill()
    return director.end(name, log)


def evicted(director: Director, name: str) -> Story:
    log, _ = director.midst(name)
    namespace = director.kube.namespace
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": log.pod, "namespace": namespace},
    }
    place = f"/api/v1/namespaces/{namespace}/pods/{log.pod}/eviction"
    director.kube.run("create", "--raw", place, "-f", "-", stdin=json.dumps(eviction))
    return director.end(name, log)


def suspended(director: Director, name: str) -> Story:
    log, _ = director.midst(name)
    kube = director.kube
    kube.patch("finetunejob", name, {"spec": {"suspend": True}})
    job = kube.wait_for_job(name, "Suspended", deadline=ENDS_WITHIN)
    assert job["status"]["phase"] == "Suspended"
    pods = kube.items("pods", f"finetune.dev/job={name}")
    assert {pod["status"]["phase"] for pod in pods} <= {"Succeeded", "Failed"}
    kube.patch("finetunejob", name, {"spec": {"suspend": False}})
    return director.end(name, log)


def rank_one_killed(director: Director, name: str) -> Story:
    log, container = director.midst(name, rank=1)
    container.kill()
    return director.end(name, log)


def node_lost(director: Director, name: str) -> Story:
    """The whole machine hangs; when it comes to, its trainer must not disturb the new one."""
    kube = director.kube
    node = running_pod(kube, name, 1, 0)["spec"]["nodeName"]
    log, container = director.midst(name)
    with contextlib.ExitStack() as frozen:
        frozen.enter_context(container.frozen())
        with kubelet_stopped(node):
            told = kube.wait_for("finetunejob", name, says_node_lost, deadline=ENDS_WITHIN)
            assert node in condition(told, "Reconciling")["message"]
            after = director.follow(name, 2)
            after.wait_for_step(MIDST + INTERVAL, deadline=ENDS_WITHIN)
            frozen.close()
            container.wait_ended(deadline=60)
            return director.told(name, (log, after))


def says_node_lost(job: Object) -> bool:
    return condition(job, "Reconciling").get("reason") == "NodeLost"


Mishap = Callable[[Director, str], Story]

ALONE: dict[str, Mishap] = {
    "node-lost": node_lost,
    "undisturbed": undisturbed,
    "killed": killed,
    "evicted": evicted,
    "suspended": suspended,
}
TOGETHER: dict[str, Mishap] = {
    "pair": undisturbed,
    "pair-killed": rank_one_killed,
}


def on_node(name: str) -> Object:
    selector = {"kubernetes.io/hostname": name}
    return {"spec": {"compute": {"podTemplate": {"nodeSelector": selector}}}}


def rather_on_node(name: str) -> Object:
    """Goes to that node first, and elsewhere when it is gone."""
    wanted = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
    preferred = [{"weight": 100, "preference": {"matchExpressions": [wanted]}}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    one_node = {"spec": {"compute": {"nodes": 1, "podTemplate": {"affinity": affinity}}}}
    made: Object = merge(TWO_NODES, one_node)
    return made


@pytest.fixture(scope="module")
def stories(
    shared_kube: Kube, sources: Sources, second: str
) -> Iterator[Mapping[str, Future[Story]]]:
    """What becomes of every job. Those of two nodes come first, because one of the others takes a
    node away; while that is waited for, the rest have the processors."""
    with contextlib.ExitStack() as following, ThreadPoolExecutor(len(TOGETHER | ALONE)) as pool:
        director = Director(shared_kube, sources, following)
        for name in TOGETHER:
            director.start(name, TWO_NODES)
        told = {name: pool.submit(mishap, director, name) for name, mishap in TOGETHER.items()}
        together = tuple(told.values())

        def afterwards(name: str) -> Story:
            wait(together)
            director.start(
                name, rather_on_node(second) if name == "node-lost" else on_node("first")
            )
            return ALONE[name](director, name)

        yield told | {name: pool.submit(afterwards, name) for name in ALONE}


@pytest.fixture(scope="module")
def adapter(
    stories: Mapping[str, Future[Story]], sources: Sources, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], bytes]:
    """The published weights of a job, once it is over."""
    folder = tmp_path_factory.mktemp("adapters")

    @functools.cache
    def of(name: str) -> bytes:
        return weights(stories[name].result().job, sources, folder)

    return of


@pytest.mark.parametrize(
    ("name", "free", "most_repeated"),
    [
        ("killed", False, INTERVAL),
        ("evicted", True, 1),
        ("suspended", True, 1),
        ("node-lost", True, INTERVAL),
    ],
)
def test_training_goes_on_and_ends_in_the_same_adapter(
    stories: Mapping[str, Future[Story]],
    adapter: Callable[[str], bytes],
    name: str,
    free: bool,
    most_repeated: int,
) -> None:
    story = stories[name].result()
    assert story.attempts == (2, not free, free)
    assert story.repeated <= most_repeated
    assert adapter(name) == adapter("undisturbed")
    assert is_true(story.job, "Published")


def test_an_attempt_of_two_nodes_goes_on_after_one_of_them_was_killed(
    stories: Mapping[str, Future[Story]], adapter: Callable[[str], bytes]
) -> None:
    story = stories["pair-killed"].result()
    assert story.attempts == (2, 1, 0)
    assert story.repeated <= INTERVAL
    whole = load(adapter("pair"))
    for name, resumed in load(adapter("pair-killed")).items():
        torch.testing.assert_close(resumed, whole[name], rtol=0, atol=1e-6)


def test_two_nodes_learn_the_same_as_one(stories: Mapping[str, Future[Story]]) -> None:
    (one,) = stories["undisturbed"].result().logs
    (two,) = stories["pair"].result().logs
    steps = range(1, STEPS + 1)
    apart = {step: abs(one.losses[step] - two.losses[step]) for step in steps}
    assert {step: far for step, far in apart.items() if far > 1e-4} == {}


def test_the_pods_of_one_attempt_run_on_different_nodes(
    stories: Mapping[str, Future[Story]], second: str
) -> None:
    assert stories["pair"].result().nodes == {"first", second}
