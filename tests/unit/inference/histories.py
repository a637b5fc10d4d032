"""What can happen to an InferenceWorkspace, each told up to the moment that its name speaks of.

Every status is one that `decide` has written; none is made up.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from finetune_operator.api.inference_workspace import InferenceWorkspace
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.inference.decide import decide, refused
from finetune_operator.domain.inference.observed import Observed
from finetune_operator.domain.observed import Container, Notice, Pod
from finetune_trainer.exit_codes import ExitCode
from tests.unit.inference.builders import NOW, OTHER_BASE, full_revision, revision, seen, traffic
from tests.unit.inference.builders import workspace as described
from tests.unit.inference.steps import WITHOUT_VLLM, carried_out, pod, settled

History = Callable[[], InferenceWorkspace]

SHORT: JsonObject = {
    "metadata": {"uid": "rs"},
    "spec": {"replicas": 1},
    "status": {"replicas": 0},
}


def _decided(world: Observed) -> InferenceWorkspace:
    return world.workspace.model_copy(update={"status": decide(world, NOW).status})


def _new() -> InferenceWorkspace:
    return described()


def _first(**given: Any) -> History:
    return lambda: _decided(seen(**given))


def _waiting(**given: Any) -> History:
    """The objects are made, and the pods do not get on."""
    return lambda: _decided(replace(carried_out(seen(), decide(seen(), NOW)), **given))


def _unscheduled(message: str) -> History:
    return _waiting(pods=(pod(unschedulable=message),))


def _container(**given: Any) -> History:
    return _waiting(pods=(_of(Container("fetch-model", **given)),))


def _of(container: Container) -> Pod:
    return pod(node="a", containers=(container,))


def _not_mounted() -> InferenceWorkspace:
    waiting = _of(Container("fetch-model", waiting_reason="PodInitializing"))
    said = Notice(waiting.uid, "FailedMount", "the volume is on another node")
    return _waiting(pods=(waiting,), notices=(said,))()


def _no_pods(message: str) -> History:
    return _waiting(replica_sets=(SHORT,), notices=(Notice("rs", "FailedCreate", message),))


def _api_server_refuses(message: str) -> History:
    def history() -> InferenceWorkspace:
        world = seen()
        status = refused(world, message, NOW).status
        return world.workspace.model_copy(update={"status": status})

    return history


def _serving() -> InferenceWorkspace:
    return _decided(settled(seen()))


def _edited() -> InferenceWorkspace:
    """The operator is away while somebody edits the workspace."""
    found = _serving()
    newer = found.metadata.model_copy(update={"generation": 2})
    return found.model_copy(update={"metadata": newer})


def _rolling_out() -> InferenceWorkspace:
    world = settled(seen())
    return _decided(replace(world, revisions=(*world.revisions, revision(2))))


def _another_base() -> InferenceWorkspace:
    world = settled(seen())
    return _decided(replace(world, revisions=(*world.revisions, revision(2, OTHER_BASE))))


def _traffic_to_nowhere() -> InferenceWorkspace:
    world = settled(seen())
    broken = world.workspace.model_copy(update={"spec": described(traffic=traffic(n7=100)).spec})
    return _decided(replace(world, workspace=broken))


HISTORIES: dict[str, History] = {
    "created, not looked at yet": _new,
    "nothing was published to it yet": _first(revisions=()),
    "the FineTuneClass does not exist": _first(finetune_class=None),
    "traffic names no revision that exists": _first(workspace=described(traffic=traffic(n7=100))),
    "traffic names two base models": _first(
        workspace=described(traffic=traffic(n1=50, n2=50)),
        revisions=(full_revision(1), full_revision(2)),
    ),
    "its runtime has no image": _first(
        workspace=described(runtime="VLLM"), finetune_class=WITHOUT_VLLM
    ),
    "a name is taken": _first(
        service={"kind": "Service", "metadata": {"name": "support", "uid": "x"}}
    ),
    "its pods are starting": _first(),
    "no node can take a pod": _unscheduled("0/2 nodes are available"),
    "a claim of its model is missing": _unscheduled('persistentvolumeclaim "models" not found'),
    "a volume cannot be mounted": _not_mounted,
    "an image cannot be pulled": _container(waiting_reason="ErrImagePull"),
    "a Secret is missing": _container(
        waiting_reason="CreateContainerConfigError", waiting_message='secret "hub" not found'
    ),
    "a container cannot start": _container(waiting_reason="RunContainerError"),
    "a container ends by itself": _container(exit_code=1),
    "a container reached its memory limit": _container(exit_code=137, end_reason="OOMKilled"),
    **{
        f"a container ends with {code.reason}": _container(exit_code=int(code))
        for code in (
            ExitCode.CONFIGURATION_ERROR,
            ExitCode.CREDENTIALS_REFUSED,
            ExitCode.UNAVAILABLE,
        )
    },
    "a quota refuses its pods": _no_pods("exceeded quota: team"),
    "a policy refuses its pods": _no_pods("denied by policy"),
    "a quota refuses a child": _api_server_refuses("exceeded quota: team"),
    "every revision answers": _serving,
    "edited while the operator is away": _edited,
    "a newer revision is rolling out": _rolling_out,
    "a revision over another base model was published": _another_base,
    "traffic was sent to nowhere, and the old revisions answer": _traffic_to_nowhere,
    "switched off": _first(workspace=described(replicas=0)),
}
"""What happens → the workspace at that moment."""
