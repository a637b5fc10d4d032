"""The line as it is read: once for all that wait, and anew for whoever may start."""

from __future__ import annotations

from collections import Counter
from typing import Any

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.domain.line import MAY_START, Hold, Turn
from finetune_operator.runtime.cluster_view import WholeCluster
from finetune_operator.runtime.line import SEEN_SECONDS, LineBook
from tests.unit.cluster.test_client import ScriptedServer, served

THEN = "2026-11-22T10:00:0{}Z"


class Cluster:
    """Answers every list with what it holds at the moment."""

    def __init__(self, *jobs: dict[str, Any]) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {
            "finetunejobs": list(jobs),
            "finetuneclasses": [
                {"metadata": {"name": "default"}, "spec": {"allowed": {"maxRunningJobs": 1}}}
            ],
            "jobs": [],
            "priorityclasses": [],
        }
        self.server: ScriptedServer

    def answer(self, _: int) -> tuple[int, dict[str, Any]]:
        return 200, {"items": self.lists[self.last()]}

    def last(self) -> str:
        return resource(self.server.requests[-1][1])

    def reads(self) -> Counter[str]:
        return Counter(resource(path) for _, path, _ in self.server.requests)

    def run(self, job: dict[str, Any]) -> None:
        """Its attempt begins; its status does not say so yet."""
        labels = {
            "finetune.dev/role": "train",
            "finetune.dev/attempt": "1",
            "finetune.dev/job": job["metadata"]["name"],
        }
        metadata = {"namespace": "team", "name": "train", "uid": "u", "labels": labels}
        self.lists["jobs"].append({"metadata": metadata, "spec": {"parallelism": 1}})


def resource(path: str) -> str:
    return path.partition("?")[0].rpartition("/")[2]


def ready(name: str, since: int) -> dict[str, Any]:
    """A job that is prepared and was told to wait."""
    looked = {
        "type": "Trained",
        "status": "False",
        "reason": "NothingToReuse",
        "lastTransitionTime": THEN.format(since),
    }
    told = {
        "type": "Admitted",
        "status": "False",
        "reason": "WaitingForTurn",
        "lastTransitionTime": THEN.format(since),
    }
    return {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneJob",
        "metadata": {"namespace": "team", "name": name},
        "spec": {
            "model": {"storageUri": "hf://example/model"},
            "task": "Chat",
            "dataset": {"train": [{"storageUri": "file:///train.jsonl"}]},
            "output": {"storageUri": "oci://registry.example.com/a:v1"},
        },
        "status": {"resolved": {"datasetDigest": "sha256:0"}, "conditions": [looked, told]},
    }


async def test_all_that_wait_share_one_look_and_a_start_is_decided_on_a_new_one() -> None:
    stored = [ready(f"j{number}", number) for number in range(5)]
    jobs = [FineTuneJob.from_stored(each) for each in stored]
    cluster = Cluster(*stored)
    time = [100.0]
    async with served(cluster.answer) as (client, server):
        cluster.server = server
        book = LineBook(client, WholeCluster(client), lambda: time[0])

        async def turn(number: int, *, anew: bool = False) -> Turn:
            return (await book.line_of(jobs[number], anew=anew, wants_to_start=True)).turn

        assert await turn(0) == MAY_START
        assert await turn(4) == Turn(Hold.CLASS, 4, 4, limit=1)
        assert set(cluster.reads().values()) == {1}, "of every kind"
        cluster.run(stored[0])
        assert await turn(1, anew=True) == Turn(Hold.CLASS, 1, 4, limit=1)
        assert await turn(2) == Turn(Hold.CLASS, 2, 4, limit=1), "whoever waits profits"
        assert set(cluster.reads().values()) == {2}
        time[0] += SEEN_SECONDS
        await turn(3)
        assert set(cluster.reads().values()) == {3}


async def test_a_job_that_the_last_look_did_not_know_is_looked_for() -> None:
    old, new = ready("old", 1), ready("new", 2)
    cluster = Cluster(old)
    async with served(cluster.answer) as (client, server):
        cluster.server = server
        book = LineBook(client, WholeCluster(client), lambda: 100.0)
        await book.line_of(FineTuneJob.from_stored(old), anew=False, wants_to_start=True)
        cluster.lists["finetunejobs"].append(new)
        line = await book.line_of(FineTuneJob.from_stored(new), anew=False, wants_to_start=True)
        assert line.turn == Turn(Hold.CLASS, 1, 1, limit=1)
