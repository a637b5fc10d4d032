"""Affinity as in a PodSpec, bounded so that rules over it have a known cost."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Rule, rules

Label = Annotated[str, Field(max_length=317)]
Value = Annotated[str, Field(max_length=63)]
Values = Annotated[tuple[Value, ...], Field(max_length=32)]
LabelMap = Annotated[dict[Label, Value], Field(max_length=16)]


_VALUES_AS_OPERATOR = Rule(
    "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0"
    " : self.operator in ['Exists', 'DoesNotExist'] ? !has(self.values) || size(self.values) == 0"
    " : has(self.values) && size(self.values) == 1",
    "In and NotIn take values, Exists and DoesNotExist none, Gt and Lt one",
)


class NodeSelectorRequirement(ApiModel):
    """A condition on one label of a node."""

    model_config = ConfigDict(json_schema_extra=rules(_VALUES_AS_OPERATOR))

    key: Label
    """Label of the node."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How the label's value is compared with `values`."""
    values: Values = ()
    """What the value is compared with; empty for Exists and DoesNotExist."""


class NodeSelectorTerm(ApiModel):
    """All of its conditions hold."""

    match_expressions: Annotated[
        tuple[NodeSelectorRequirement, ...], Field(min_length=1, max_length=8)
    ]
    """Conditions on labels of the node."""


class NodeSelector(ApiModel):
    """At least one of its terms holds."""

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=8)]
    """Terms, of which one has to hold."""


Weight = Annotated[int, Field(ge=1, le=100)]


class PreferredNodes(ApiModel):
    """A preference among nodes and its weight."""

    weight: Weight
    """Weight, 1 to 100."""
    preference: NodeSelectorTerm
    """The nodes that are preferred."""


class NodeAffinity(ApiModel):
    """Which nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Only these nodes."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodes, ...], Field(max_length=8)
    ] = ()
    """These nodes rather than others."""


class LabelSelectorRequirement(ApiModel):
    """A condition on one label of a pod."""

    model_config = ConfigDict(json_schema_extra=rules(_VALUES_AS_OPERATOR))

    key: Label
    """Label of the pod."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label's value is compared with `values`."""
    values: Values = ()
    """What the value is compared with; empty for Exists and DoesNotExist."""


class LabelSelector(ApiModel):
    """Which pods, by label."""

    match_labels: LabelMap = Field(default={})
    """Labels that all have these values."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=8)] = ()
    """Conditions that all hold."""


class PodAffinityTerm(ApiModel):
    """Pods, and how near them."""

    label_selector: LabelSelector
    """The pods."""
    topology_key: Label
    """Label of the node that means the same place, such as kubernetes.io/hostname."""


class PreferredPods(ApiModel):
    """A preference and its weight."""

    weight: Weight
    """Weight, 1 to 100."""
    pod_affinity_term: PodAffinityTerm
    """The pods and how near them."""


class PodAffinity(ApiModel):
    """Near, or far from, which pods of this namespace."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], Field(max_length=8)
    ] = ()
    """Must hold."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredPods, ...], Field(max_length=8)
    ] = ()
    """Is better."""


class Affinity(ApiModel):
    """Where the pods may and should run."""

    node_affinity: NodeAffinity | None = None
    """Which nodes."""
    pod_affinity: PodAffinity | None = None
    """Near which pods."""
    pod_anti_affinity: PodAffinity | None = None
    """Far from which pods."""
