"""Jobs as the real operator leaves them, each with what belongs to it, for what is printed of them.

Nothing of a status is written here: `decide` has made all of it, in a cluster in memory.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.cli.attempts import attempts
from finetune_operator.cli.description import Known
from finetune_operator.cli.happenings import happenings
from finetune_operator.cli.pods import ordered
from finetune_operator.domain.lifecycle import Decision
from finetune_operator.domain.line import Hold, Turn
from finetune_operator.domain.observed import Line
from finetune_operator.domain.views import view_batch_job
from finetune_trainer.manifest import Failure
from tests.cluster.simulation import trainer
from tests.unit.domain.in_memory import START, InMemory, Object
from tests.unit.domain.lifecycle.looks import edit, report

TWO_NODES = {"device": "CPU", "nodes": 2}


class Story(InMemory):
    """A cluster in memory that keeps the events, too."""

    def __init__(self, name: str, **spec: Any) -> None:
        manifest = trainer.job("team", name, "n", class_name="default", **spec)
        manifest["metadata"] |= {
            "uid": f"uid-of-{name}",
            "generation": 1,
            "creationTimestamp": START.isoformat(),
        }
        super().__init__(FineTuneJob.from_stored(manifest))
        self.events: list[Object] = []

    def reconcile(self, crash_after: int | None = None) -> Decision:
        decision = super().reconcile(crash_after)
        self.events += [
            self.event(each.reason, each.message, warning=each.warning) for each in decision.events
        ]
        return decision

    def event(self, reason: str, message: str, *, warning: bool = False, about: Any = None) -> Any:
        """As the recorder, or the cluster, writes it."""
        name = self.job.metadata.name
        return {
            "metadata": {"creationTimestamp": self.now.isoformat()},
            "involvedObject": about or {"kind": "FineTuneJob", "name": name},
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message,
            "count": 1,
            "lastTimestamp": self.now.isoformat(),
        }

    def trains(self, step: int, attempt: int = 1) -> None:
        """A report has arrived, and is shown."""
        self.now += timedelta(seconds=30)
        self.progress = report(step, attempt)
        self.settle()

    def known(self) -> Known:
        """What `describe` would have read."""
        pods = ordered(self.all("Pod"))
        told = happenings(self.events)
        jobs = [view for each in self.all("Job") if (view := view_batch_job(each))]
        return Known(self.job, pods, list(attempts(self.job.status, jobs, pods, told)), told)


def new() -> Story:
    """Applied a moment ago; no operator has looked."""
    return Story("new")


def without_class() -> Story:
    story = Story("without-class", className="gpu")
    story.finetune_class = None
    story.settle()
    return story


def unschedulable() -> Story:
    """One of two pods has found a node."""
    story = Story("unschedulable", compute=TWO_NODES)
    while not any("-train-" in pod["metadata"]["name"] for pod in story.pods()):
        story.settle()
        for pod in story.pods():
            story.run(pod)
            story.end(pod)
        story.make_pods()
        story.now += timedelta(seconds=30)
    placed, waiting = story.pods()
    story.run(placed, "node-1")
    said = "0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 1 too small."
    waiting["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    ]
    story.settle()
    about = {"kind": "Pod", "name": waiting["metadata"]["name"]}
    story.events.append(story.event("FailedScheduling", said, warning=True, about=about))
    story.now += timedelta(minutes=11)
    return story


def in_line() -> Story:
    """Another job of several nodes starts first."""
    story = Story("in-line", compute=TWO_NODES)
    while not story.job.status.progress:
        story.settle()
        story.make_pods()
        for pod in story.pods():
            story.run(pod)
            story.end(pod)
        story.now += timedelta(seconds=30)
        story.line = Line(Turn(Hold.START, 2, 5, by="research/large"))
    story.settle()
    return story


def second_attempt() -> Story:
    """The first was evicted in the midst of training."""
    story = Story("second-attempt")
    pod = story.to_training()
    story.trains(420)
    story.now += timedelta(minutes=5)
    story.evict(pod)
    failure = Failure(reason="Preempted", message="a checkpoint of step 431 is saved", step=431)
    story.end(pod, 13, failure.model_dump_json())
    story.to_training()
    story.trains(440, attempt=2)
    story.now += timedelta(seconds=8)
    return story


def bad_data() -> Story:
    """Refused while it was prepared."""
    story = Story("bad-data")
    story.settle()
    story.make_pods()
    (pod,) = story.pods()
    story.run(pod, "node-1")
    said = Failure(
        reason="DataError",
        message="train.jsonl line 7: no field messages: write one, or set dataset.format",
    )
    story.end(pod, 11, said.model_dump_json())
    story.settle()
    story.now += timedelta(hours=3)
    return story


def diverged() -> Story:
    """After an attempt that failed without a name, one that names its reason."""
    story = Story("diverged")
    said_nothing_of_its_own = (
        "Traceback (most recent call last):\n\x1b[31mRuntimeError\x1b[0m: luck"
    )
    story.end(story.to_training(), 1, said_nothing_of_its_own)
    story.to_training()
    story.trains(40, attempt=2)
    (pod,) = story.pods()
    said = Failure(reason="Diverged", message="the loss became nan at step 41")
    story.end(pod, 14, said.model_dump_json())
    story.settle()
    return story


def suspended() -> Story:
    story = Story("suspended")
    pod = story.to_training()
    story.trains(420)
    edit(story, suspend=True)
    story.settle()
    story.end(pod, 13)
    story.settle()
    story.now += timedelta(days=2)
    return story


def succeeded() -> Story:
    story = Story("succeeded", evaluation={"gates": [{"metric": "Loss", "maximum": "1.5"}]})
    story.to_training()
    story.trains(1000)
    story.finish_well()
    return story


ALL = (
    new,
    without_class,
    unschedulable,
    in_line,
    second_attempt,
    bad_data,
    diverged,
    suspended,
    succeeded,
)
