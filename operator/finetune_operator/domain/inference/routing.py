"""Which revisions of a workspace answer, and what share of its requests each one gets.

All that is served together shares one base model: adapters are switched over weights that are
loaded once. A revision of a full fine-tune has no adapter; it is its own base model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finetune_operator.api.inference_revision import InferenceRevision
from finetune_operator.api.inference_workspace import TrafficTarget
from finetune_operator.api.reason import Reason
from finetune_operator.api.sources import ModelSource


@dataclass(frozen=True, slots=True)
class Route:
    """A revision and its share of the requests to the workspace's own name."""

    revision: str
    percent: int


@dataclass(frozen=True, slots=True)
class Routing:
    """What is to answer. The percentages of `routes` sum to 100."""

    model: ModelSource
    """The base model, with the credentials that the newest served revision names."""

    served: tuple[InferenceRevision, ...]
    """Revisions over that base model, newest first; each answers by its name."""

    routes: tuple[Route, ...]
    """Shares above 0, in the order in which the user wrote them."""

    refused: tuple[InferenceRevision, ...]
    """Revisions over other base models, newest first; they are not served."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why traffic cannot be sent anywhere; what is running stays as it is."""

    reason: Reason
    message: str


def base_of(model: ModelSource) -> str:
    """What makes two models the same one: place and revision, not who may read them."""
    return f"{model.storage_uri}@{model.revision}" if model.revision else model.storage_uri


def newest_first(revisions: Iterable[InferenceRevision]) -> tuple[InferenceRevision, ...]:
    """By age, and by number within the whole second that Kubernetes records."""
    return tuple(sorted(revisions, key=_age, reverse=True))


def number_of(name: str) -> int:
    """The number at the end of a revision's name; 0 for a name that somebody chose freely."""
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def resolve(
    revisions: Iterable[InferenceRevision],
    traffic: Sequence[TrafficTarget],
    current: str | None,
) -> Routing | Unresolved:
    """Decides what answers.

    The base model is that of the revisions that traffic names. If it names none, it is the one
    that is served now while an adapter over it exists, else that of the newest revision. So a
    publication over another base model never takes a workspace over: a person does, by naming it.

    Args:
        revisions: all revisions of the workspace.
        traffic: shares that sum to 100.
        current: the base model that is served now, if any is.
    """
    ordered = newest_first(revisions)
    if not ordered:
        return Unresolved(
            Reason.NO_REVISION,
            "No InferenceRevision belongs to this workspace yet: publish one with a FineTuneJob"
            " whose spec.publish.workspace.name is the name of this workspace.",
        )
    named = {target.revision_name for target in traffic if target.revision_name}
    if missing := sorted(named - {revision.metadata.name for revision in ordered}):
        return Unresolved(
            Reason.REVISION_NOT_FOUND,
            f"spec.traffic names {', '.join(missing)}, which does not exist; existing revisions,"
            f" newest first: {', '.join(revision.metadata.name for revision in ordered)}.",
        )
    leads = [revision for revision in ordered if revision.metadata.name in named]
    if len({_base(revision) for revision in leads}) > 1:
        listed = "; ".join(f"{lead.metadata.name} is over {_base(lead)}" for lead in leads)
        return Unresolved(
            Reason.OTHER_BASE_MODEL,
            f"spec.traffic splits requests between different base models: {listed}. Name"
            " revisions over one base model, and publish the others to another workspace.",
        )
    base = _base(leads[0]) if leads else _base_of_latest(ordered, current)
    served = tuple(revision for revision in ordered if _base(revision) == base)
    return Routing(
        model=served[0].spec.model,
        served=served,
        routes=_routes(traffic, served[0].metadata.name),
        refused=tuple(revision for revision in ordered if _base(revision) != base),
    )


def expired(
    revisions: Iterable[InferenceRevision], kept: Iterable[str], limit: int
) -> tuple[InferenceRevision, ...]:
    """The revisions beyond the history limit.

    Never one of `kept` (what traffic names, and what it resolved to), nor one of the `limit`
    newest others, nor the newest of all, which may have been published a moment ago.
    """
    names = frozenset(kept)
    others = [each for each in newest_first(revisions)[1:] if each.metadata.name not in names]
    return tuple(others[limit:])


def _age(revision: InferenceRevision) -> tuple[float, int, str]:
    created = revision.metadata.creation_timestamp
    name = revision.metadata.name
    return (created.timestamp() if created else 0.0, number_of(name), name)


def _base(revision: InferenceRevision) -> str:
    return base_of(revision.spec.model)


def _base_of_latest(ordered: tuple[InferenceRevision, ...], current: str | None) -> str:
    adapters_over = {_base(revision) for revision in ordered if revision.spec.adapter}
    return current if current in adapters_over else _base(ordered[0])


def _routes(traffic: Sequence[TrafficTarget], latest: str) -> tuple[Route, ...]:
    shares: dict[str, int] = {}
    for target in traffic:
        name = target.revision_name or latest
        shares[name] = shares.get(name, 0) + target.percent
    return tuple(Route(name, percent) for name, percent in shares.items() if percent)
