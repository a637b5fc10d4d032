"""Until the first attempt: what is refused, fetched and queued."""

from __future__ import annotations

from typing import Any

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.domain.line import Hold, Turn
from finetune_operator.domain.observed import Line
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.manifest import Looked, Published
from tests.cluster.simulation import trainer
from tests.unit.domain.histories.world import TWO_NODES, History, Recorded, finish_pods
from tests.unit.domain.in_memory import BY_DIGEST, CLASS, job

ALPACA = {"dataset": {**job().to_dict()["spec"]["dataset"], "format": "Alpaca"}}


def _new() -> Recorded:
    return Recorded()


def _accepted() -> Recorded:
    world = Recorded()
    world.reconcile()
    return world


def _preparing() -> Recorded:
    world = Recorded()
    world.settle()
    return world


def _refused(**given: Any) -> History:
    """`given`: spec, the class (None: there is none) or what is seen."""

    def history() -> Recorded:
        world = Recorded(job(**given.get("spec", {})))
        allowed = given.get("allowed", {})
        its_class = CLASS.to_dict() | {"spec": CLASS.to_dict()["spec"] | {"allowed": allowed}}
        world.finetune_class = FineTuneClass.from_stored(its_class) if allowed is not None else None
        world.also_seen = given.get("seen", {})
        world.settle()
        return world

    return history


def _refused_by_api_server(message: str, *, for_good: bool, at: History) -> History:
    def history() -> Recorded:
        world = at()
        world.refuse(message, for_good=for_good)
        return world

    return history


def _waiting_in_line() -> Recorded:
    world = Recorded(job(compute=TWO_NODES))
    world.line = Line(Turn(Hold.START, 2, 5, by="other/job"))
    finish_pods(world)
    return world


def _prepare_unavailable() -> Recorded:
    world = Recorded()
    world.settle()
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod, ExitCode.UNAVAILABLE, "the hub cannot be used now")
    world.settle()
    return world


def _looking() -> Recorded:
    world = Recorded(job())
    world.finetune_class = BY_DIGEST
    finish_pods(world)
    world.make_pods()
    return world


def _looked(code: int = 0, **said: Any) -> History:
    """The look for an earlier result has ended so."""

    def history() -> Recorded:
        world = _looking()
        [pod] = world.pods()
        world.run(pod)
        world.end(pod, code, Looked(**said).model_dump_json())
        world.settle()
        return world

    return history


def _trained_again() -> Recorded:
    world = Recorded(job(reusePolicy="Always"))
    finish_pods(world)
    return world


BEGINNING: dict[str, History] = {
    "created, not looked at yet": _new,
    "accepted": _accepted,
    "the FineTuneClass does not exist": _refused(allowed=None),
    "the class does not allow it": _refused(allowed={"registries": ["registry.example.com"]}),
    "its volume cannot be shared": _refused(
        spec={"compute": TWO_NODES}, seen={"storage_is_shared": False}
    ),
    "a name is taken": _refused(seen={"taken": ("ConfigMap chat-recipe",)}),
    "what cannot be combined": _refused(spec={"task": "Completion"} | ALPACA),
    "an older job of its name is being removed": _refused(seen={"leaving": ("Job old",)}),
    "a child is not valid": _refused_by_api_server("Invalid value", for_good=True, at=_new),
    "a quota refuses a child": _refused_by_api_server("exceeded quota", for_good=False, at=_new),
    "model and data are being fetched": _preparing,
    "the hub is away": _prepare_unavailable,
    "an earlier result is looked for": _looking,
    "there is no earlier result": _looked(),
    "an earlier result cannot be used": _looked(problem="its files are not what was trained"),
    "the output's registry refuses to tell": _looked(ExitCode.CREDENTIALS_REFUSED),
    "an earlier result is used": _looked(
        found=Published.model_validate_json(trainer.PUBLISHED), job="team/earlier"
    ),
    "no earlier result is wanted": _trained_again,
    "waits for its turn": _waiting_in_line,
}
