"""What becomes of a result."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from finetune_operator.domain.publication import Publication
from finetune_operator.publishing.kaito import KAITOPublisher
from finetune_operator.publishing.workspace import WorkspacePublisher
from tests.cluster.simulation import trainer
from tests.unit.domain.histories.world import History, Recorded, finish_pods
from tests.unit.domain.in_memory import job
from tests.unit.inference import histories as workspaces
from tests.unit.publishing.builders import ADAPTER, created
from tests.unit.publishing.builders import job as published

WORKSPACE = {"type": "Workspace", "workspace": {"name": "support"}}
KAITO = {"type": "KAITO", "kaito": {"labelSelector": {"matchLabels": {"apps": "support"}}}}


def _pushing(**spec: Any) -> Recorded:
    world = Recorded(job(**spec))
    world.end(world.to_training())
    world.settle()
    return world


def _publishing(publication: Publication) -> History:
    def history() -> Recorded:
        world = _pushing(publish=WORKSPACE)
        world.also_seen = {"publication": publication}
        finish_pods(world)
        world.settle()
        return world

    return history


def _of_workspace(history: workspaces.History) -> Publication:
    """What the publisher makes of a workspace that was given its revision."""
    of, publisher = published(), WorkspacePublisher()
    revisions, workspace = publisher.reads(of)
    asked = publisher.publish(of, ADAPTER, {revisions: (), workspace: ()})
    made = tuple(each for each in created(asked) if each["kind"] == "InferenceRevision")
    return publisher.publish(of, ADAPTER, {revisions: made, workspace: (history().to_dict(),)})


def _without_kaito() -> Publication:
    of, publisher = published(KAITO), KAITOPublisher()
    return publisher.publish(of, ADAPTER, dict.fromkeys(publisher.reads(of)))


def _over(**spec: Any) -> Recorded:
    world = Recorded(job(**spec))
    world.finish_well()
    return world


def _measured(**evaluation: Any) -> History:
    def history() -> Recorded:
        world = Recorded()
        said = json.loads(trainer.TRAINED)
        said["evaluation"] = said["evaluation"] | evaluation if evaluation else None
        world.end(world.to_training(), message=json.dumps(said))
        world.settle()
        return world

    return history


def _cleaned_up() -> Recorded:
    world = _over(cleanupAfterSeconds=600)
    world.now += timedelta(seconds=601)
    world.settle()
    return world


END: dict[str, History] = {
    "the result is being pushed": _pushing,
    **{
        f"its workspace: {name}": _publishing(publication)
        for name, history in workspaces.HISTORIES.items()
        if not (publication := _of_workspace(history)).done
    },
    "KAITO is to serve, and is not installed": _publishing(_without_kaito()),
    "nothing was held out": _measured(),
    "what was held out was learned": _measured(warning="3 examples are in dataset.train too"),
    "a gate does not hold": lambda: _over(
        evaluation={"gates": [{"metric": "Loss", "maximum": "0.1"}]}
    ),
    "everything asked for is there": _over,
    "cleaned up": _cleaned_up,
}
