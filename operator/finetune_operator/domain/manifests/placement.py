"""Pods that land on the nodes that were got for them, beside whatever the user asks for."""

from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.provisioning import Placement

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_HIGHEST_WEIGHT = 100


def placed(pod: JsonObject, placement: Placement) -> None:
    """Adds to a pod's spec; what the user has asked for holds as well."""
    if placement.node_selector:
        pod["nodeSelector"] = {**pod.get("nodeSelector", {}), **placement.node_selector}
    if placement.tolerations:
        pod["tolerations"] = [*pod.get("tolerations", ()), *map(dict, placement.tolerations)]
    if placement.requirements:
        affinity = pod.get("affinity", {})
        of_nodes = affinity.get("nodeAffinity", {})
        # Terms are alternatives: each of them gets the requirements. Without any there is one.
        terms = of_nodes.get(_REQUIRED, {}).get("nodeSelectorTerms") or [{}]
        ours = [dict(each) for each in placement.requirements]
        both = [
            {**term, "matchExpressions": [*term.get("matchExpressions", ()), *ours]}
            for term in terms
        ]
        required = {"nodeSelectorTerms": both}
        pod["affinity"] = {**affinity, "nodeAffinity": {**of_nodes, _REQUIRED: required}}
    if placement.preferences:
        affinity = pod.get("affinity", {})
        of_nodes = affinity.get("nodeAffinity", {})
        preferred = [
            {
                "weight": _HIGHEST_WEIGHT - index,
                "preference": {"matchExpressions": [dict(each) for each in terms]},
            }
            for index, terms in enumerate(placement.preferences)
        ]
        both = [*of_nodes.get(_PREFERRED, ()), *preferred]
        pod["affinity"] = {**affinity, "nodeAffinity": {**of_nodes, _PREFERRED: both}}
