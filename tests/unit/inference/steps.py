"""What follows from a decision about a workspace: objects made, pods rolled out, all at rest."""

import json
from dataclasses import replace
from typing import Any

from finetune_operator.domain.actions import Apply, Delete
from finetune_operator.domain.inference.decide import Decision, decide
from finetune_operator.domain.inference.observed import Observed
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Pod
from tests.unit.inference.builders import CLASS, NOW

WITHOUT_VLLM = CLASS.model_copy(
    update={
        "spec": CLASS.spec.model_copy(
            update={"images": CLASS.spec.images.model_copy(update={"vllm": None})}
        )
    }
)


def deleted(decision: Decision) -> set[tuple[str, str]]:
    return {(each.kind.name, each.name) for each in decision.actions if isinstance(each, Delete)}


def carried_out(before: Observed, decision: Decision) -> Observed:
    """The world after the actions and the status write; pods are not started yet."""
    fields: dict[str, Any] = {
        "Service": before.service,
        "PodDisruptionBudget": before.disruption_budget,
        "Deployment": before.deployment,
    }
    config_maps = list(before.config_maps)
    for action in decision.actions:
        if not isinstance(action, Apply):
            continue
        made = json.loads(json.dumps(action.manifest))
        made["metadata"]["uid"] = f"uid-{made['kind']}-{made['metadata']['name']}"
        if made["kind"] == "ConfigMap":
            config_maps.append(made)
            continue
        old = fields[made["kind"]] or {"metadata": {"generation": 0}}
        made["metadata"]["generation"] = old["metadata"]["generation"] + 1
        made["status"] = old.get("status", {})
        fields[made["kind"]] = made
    gone = deleted(decision)
    return replace(
        before,
        workspace=before.workspace.model_copy(update={"status": decision.status}),
        service=fields["Service"],
        deployment=fields["Deployment"],
        disruption_budget=None
        if ("PodDisruptionBudget", "support") in gone
        else fields["PodDisruptionBudget"],
        config_maps=tuple(
            each for each in config_maps if ("ConfigMap", each["metadata"]["name"]) not in gone
        ),
        revisions=tuple(
            each
            for each in before.revisions
            if ("InferenceRevision", each.metadata.name) not in gone
        ),
    )


def rolled_out(before: Observed) -> Observed:
    """Every pod is of the newest kind and ready."""
    assert before.deployment is not None
    replicas = before.deployment["spec"]["replicas"]
    status = {
        "observedGeneration": before.deployment["metadata"]["generation"],
        "replicas": replicas,
        "updatedReplicas": replicas,
        "availableReplicas": replicas,
    }
    return replace(before, deployment={**before.deployment, "status": status})


def settled(before: Observed) -> Observed:
    """Decided, carried out, rolled out, and decided until nothing is left to do."""
    after = rolled_out(carried_out(before, decide(before, NOW)))
    return carried_out(after, decide(after, NOW))


def pod(**given: Any) -> Pod:
    return Pod(
        **({"namespace": "ml", "name": "support-1", "uid": "p"} | given), role=Role.SERVE, number=0
    )
