"""Which of several replicas works: what to make of the Lease they share (coordination.k8s.io/v1).

Never two at a time. A replica that wrote the Lease leads for RENEW_DEADLINE_SECONDS from the
moment before it *sent* the write; another takes the Lease LEASE_SECONDS after the moment at which
it *saw* the last change of it, which is later than the sending. Each measures on its own monotonic
clock: what the clocks show does not matter, only that none runs LEASE_SECONDS /
RENEW_DEADLINE_SECONDS (1.5) times as fast as another. The times in the Lease are for people and
are compared with nothing. Each write names the version it replaces, so one that was overtaken on
its way is refused by the API server.

Why nothing is done twice although requests of the last leader may still be under way: whatever an
operator does may be repeated, be it by one or by two. Children are applied under names made from
the job and the attempt, so a second Job of an attempt cannot be; what is created once (revisions)
is a conflict the second time; deletions name a uid, statuses the resourceVersion they were
computed from, and Events are named by what they say. An apply that comes late puts back what its
sender wanted, and its own watch event makes the leader look again.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import LEASE

LEASE_SECONDS = 12
"""Silence of the leader after which another takes over; the rest of 20 s is for its start."""
RENEW_DEADLINE_SECONDS = 8.0
"""A leader stops when its last renewal is this old."""
RENEW_SECONDS = 2.0
"""Between two renewals: three may fail."""
LOOK_SECONDS = 1.0
"""How often a standby looks; a Lease that was released is taken within this time."""

PROGRESS_URL = "finetune.dev/progress-url"
"""Annotation of the Lease: where its holder takes progress, `http://10.0.0.7:8090`."""

_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says."""

    holder: str
    """Empty: nobody has it."""

    version: str
    """resourceVersion: each renewal changes it, whatever the holder's clock shows. Empty for one
    that is not there yet."""

    seconds: float = LEASE_SECONDS
    """As its holder promises, who may be of another version of this operator."""

    renewed: datetime | None = None
    acquired: datetime | None = None
    transitions: int = 0
    progress_url: str = ""


def read(lease: JsonObject) -> Record:
    """The view of a Lease; fields that somebody has taken out count as never set."""
    spec, metadata = lease.get("spec") or {}, lease["metadata"]
    return Record(
        holder=spec.get("holderIdentity") or "",
        version=metadata.get("resourceVersion", ""),
        seconds=spec.get("leaseDurationSeconds") or LEASE_SECONDS,
        renewed=_time(spec.get("renewTime")),
        acquired=_time(spec.get("acquireTime")),
        transitions=spec.get("leaseTransitions") or 0,
        progress_url=(metadata.get("annotations") or {}).get(PROGRESS_URL, ""),
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one replica knows. Times are of its own monotonic clock, in seconds."""

    identity: str
    """The pod's name. A container that is started again in its pod is the same candidate: its
    predecessor is dead, so it need not wait for it."""

    record: Record | None = None
    """As last seen; of a Lease that was deleted since, the last one before."""

    changed_at: float = _NEVER
    """When the record was first seen."""

    sent_at: float = _NEVER
    """Just before the last write that made it the holder, or kept it so, was sent."""

    @property
    def holds(self) -> bool:
        """Whether the Lease, as last seen, is its own."""
        return self.record is not None and self.record.holder == self.identity

    @property
    def leads_until(self) -> float:
        """From then on it must not do anything; in the past for a standby."""
        return self.sent_at + RENEW_DEADLINE_SECONDS if self.holds else _NEVER

    @property
    def free_at(self) -> float:
        """From then on it may write the Lease; in the past for one that is free or its own."""
        if self.record is None or not self.record.holder or self.holds:
            return _NEVER
        return self.changed_at + self.record.seconds

    def saw(self, found: Record | None, now: float) -> Self:
        """After a look that was answered at `now`; None: there is no Lease.

        A deleted Lease is no sign that its holder has stopped: its time is waited for. Only one
        that has never seen it, because it starts in just these seconds, takes it for free.
        """
        if found is None or (self.record is not None and found.version == self.record.version):
            return self
        return replace(self, record=found, changed_at=now)

    def wrote(self, written: Record, sent: float, now: float) -> Self:
        """After a write that was sent at `sent` and confirmed at `now`."""
        return replace(self, record=written, changed_at=now, sent_at=sent)

    def stopped(self) -> Self:
        """Leads no longer, whatever it still holds."""
        return replace(self, sent_at=_NEVER)


def absent(namespace: str, name: str) -> JsonObject:
    """The Lease that is not there yet."""
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": LEASE.api_version, "kind": LEASE.name, "metadata": metadata}


def held(lease: JsonObject, identity: str, progress_url: str, now: datetime) -> JsonObject:
    """The Lease by which a candidate becomes or remains its holder.

    Args:
        lease: what it replaces, or `absent`.
        now: the time in UTC, for people.
    """
    before = read(lease)
    renews = before.holder == identity
    if before.renewed == now:
        now += timedelta(microseconds=1)  # a write that changes nothing would not be seen
    spec = {
        "holderIdentity": identity,
        "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": _text(now),
        "acquireTime": _text(before.acquired if renews and before.acquired else now),
        "leaseTransitions": before.transitions + (bool(before.version) and not renews),
    }
    return _changed(lease, spec, progress_url)


def released(lease: JsonObject) -> JsonObject:
    """The Lease that anybody may take at once."""
    return _changed(lease, {"leaseTransitions": read(lease).transitions}, "")


def _changed(lease: JsonObject, spec: JsonObject, progress_url: str) -> JsonObject:
    """What others have written beside the spec stays."""
    metadata = lease["metadata"]
    annotations = (metadata.get("annotations") or {}) | {PROGRESS_URL: progress_url}
    return lease | {"spec": spec, "metadata": metadata | {"annotations": annotations}}


def _text(moment: datetime) -> str:
    """A MicroTime, which has six digits always."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
