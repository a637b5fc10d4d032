"""What Azure says when it gives no nodes, and what is made of it: one table.

The codes are those that Microsoft documents for AKS and for what AKS calls, above all virtual
machine scale sets. The outer code often says only that something failed; the reason is a detail
within, or text in a message. So a row counts wherever its code stands.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from finetune_operator.api.reason import Reason

_LENGTH = 600
"""Characters of a message that people read; Azure's may fill pages."""


@dataclass(frozen=True, slots=True)
class ArmError:
    """Why ARM did not do what it was asked, or why an agent pool failed."""

    status: int
    """HTTP status; 0: no answer; 200: the request was taken, and failed afterwards."""
    code: str
    message: str
    details: tuple[tuple[str, str], ...] = ()
    """(code, message) of what lies within, from the outermost on."""
    retry_after: float | None = None
    """Seconds that ARM asked to be left alone."""

    def __str__(self) -> str:
        inner = [f"{code}: {message}" for code, message in self.details if code != self.code]
        return "; ".join([f"{self.code}: {self.message}", *inner])[:_LENGTH]


def parsed(status: int, body: Any, retry_after: float | None = None) -> ArmError:
    """The error of an answer's JSON: {"error": {…}}, or flat as quota errors come."""
    found = list(_said(body))
    code, message = (
        found[0] if found else (f"HTTP{status}", str(body or "no explanation")[:_LENGTH])
    )
    return ArmError(status, code, message, tuple(found[1:]), retry_after)


def _said(node: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(node, Mapping):
        return
    inner = node.get("error")
    if isinstance(inner, Mapping):
        yield from _said(inner)
        return
    if node.get("code") or node.get("message"):
        yield str(node.get("code") or "Unknown"), str(node.get("message") or "no explanation")
    for each in node.get("details") or ():
        yield from _said(each)


class Then(StrEnum):
    """What is done about it."""

    NEXT_OFFER = "the next instance type"
    NEVER = "the next instance type; this one never again"
    SAME_AGAIN = "the same again"


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of error."""

    codes: tuple[str, ...]
    """In whatever case; none: by the HTTP status."""
    then: Then
    reason: Reason
    seconds: float
    """Before it is asked for again, unless ARM says how long."""
    meaning: str
    spot_seconds: float | None = None
    """The same for spot, where it differs."""
    says: str = ""
    """A pattern that a message has to contain besides."""
    statuses: tuple[int, ...] = ()
    """HTTP statuses that mean the same, whatever the code."""

    def counts(self, error: ArmError) -> bool:
        """Whether the error is of this kind."""
        said = ((error.code, error.message), *error.details)
        if self.says and not any(re.search(self.says, text, re.IGNORECASE) for _, text in said):
            return False
        if error.status in self.statuses:
            return True
        codes = {code.casefold() for code in self.codes}
        if any(code.casefold() in codes for code, _ in said):
            return True
        words = {word.casefold() for _, text in said for word in re.findall(r"\w{8,}", text)}
        return bool(codes & words)

    def pause(self, spot: bool) -> float:
        """Seconds before it is asked for again."""
        return self.spot_seconds if spot and self.spot_seconds is not None else self.seconds


FOR_GOOD = 30 * 24 * 3600.0
_HOUR = 3600.0
_NO_QUOTA = ("ErrCode_InsufficientVCPUQuota", "QuotaExceeded", "OperationNotAllowed")

ROWS: tuple[Row, ...] = (
    Row(
        _NO_QUOTA,
        Then.NEXT_OFFER,
        Reason.NODE_QUOTA_EXCEEDED,
        _HOUR,
        "The quota is 0: somebody has to ask for some first.",
        says=r"(current limit|limit is|maximum allowed)\W{1,3}0\b",
    ),
    Row(
        _NO_QUOTA[:2],
        Then.NEXT_OFFER,
        Reason.NODE_QUOTA_EXCEEDED,
        600,
        "The quota of vCPUs is used up, by whomever.",
    ),
    Row(
        ("OperationNotAllowed",),
        Then.NEXT_OFFER,
        Reason.NODE_QUOTA_EXCEEDED,
        600,
        "The same, as virtual machine scale sets say it.",
        says=r"\bquota\b",
    ),
    Row(
        ("OperationNotAllowed", "PropertyChangeNotAllowed"),
        Then.SAME_AGAIN,
        Reason.PROVISIONER_MISCONFIGURED,
        600,
        "A property that cannot be changed differs between the FineTuneClass and the agent pool.",
        says=r"changing property|immutable|(cannot|can't|not allowed to) be changed",
    ),
    Row(
        ("OperationNotAllowed", "AKSOperationPreempted", "AKSOperationPreemptedByDelete"),
        Then.SAME_AGAIN,
        Reason.PROVISIONING,
        60,
        "Another operation on the pool or the cluster is in progress: a pool that is already being"
        " made is adopted.",
    ),
    Row(
        ("SkuNotAvailable",),
        Then.NEXT_OFFER,
        Reason.INSUFFICIENT_CAPACITY,
        23 * _HOUR,
        "The region does not offer the size to this subscription at present.",
        spot_seconds=_HOUR,
    ),
    Row(
        (
            "AllocationFailed",
            "ZonalAllocationFailed",
            "OverconstrainedAllocationRequest",
            "OverconstrainedZonalAllocationRequest",
            "AKSCapacityHeavyUsage",
        ),
        Then.NEXT_OFFER,
        Reason.INSUFFICIENT_CAPACITY,
        600,
        "There is no machine free.",
    ),
    Row(
        ("VMSizeNotSupported",),
        Then.NEVER,
        Reason.PROVISIONING_FAILED,
        FOR_GOOD,
        "AKS has no such size, or does not support it.",
    ),
    Row(
        ("AuthorizationFailed", "LinkedAuthorizationFailed"),
        Then.SAME_AGAIN,
        Reason.PROVISIONER_MISCONFIGURED,
        300,
        "The operator's identity lacks a role, or there is none.",
        statuses=(401, 403),
    ),
    Row(
        ("ResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound"),
        Then.SAME_AGAIN,
        Reason.PROVISIONER_MISCONFIGURED,
        300,
        "Subscription, resource group or cluster do not exist as the FineTuneClass names them.",
        statuses=(404,),
    ),
    Row(
        ("Throttled", "TooManyRequests", "SubscriptionRequestsThrottled"),
        Then.SAME_AGAIN,
        Reason.PROVISIONING,
        60,
        "Too many requests: none is sent before the time that `Retry-After` says.",
        statuses=(429,),
    ),
    Row(
        ("PreconditionFailed",),
        Then.SAME_AGAIN,
        Reason.PROVISIONING,
        1,
        "Somebody else changed the pool first; what there is now is looked at anew.",
        statuses=(412,),
    ),
    Row(
        ("InvalidParameter", "BadRequest"),
        Then.SAME_AGAIN,
        Reason.PROVISIONER_MISCONFIGURED,
        600,
        "ARM does not take the pool as the FineTuneClass describes it.",
        statuses=(400, 405, 422),
    ),
    Row(
        ("RequestTimeout",),
        Then.SAME_AGAIN,
        Reason.PROVISIONING,
        30,
        "ARM cannot be reached, does not answer, or failed itself.",
        statuses=(0, 408, 500, 502, 503, 504),
    ),
    Row(
        (),
        Then.NEXT_OFFER,
        Reason.INSUFFICIENT_CAPACITY,
        600,
        "Anything else that an agent pool fails with, or ARM answers.",
    ),
)
"""From the particular to the general; the first that counts is it."""


def row_of(error: ArmError) -> Row:
    """What an error means."""
    return next((row for row in ROWS if row.codes and row.counts(error)), ROWS[-1])


def pause_after(error: ArmError, spot: bool = False) -> float:
    """Seconds before the same is asked for again."""
    if error.retry_after is not None:
        return error.retry_after
    return row_of(error).pause(spot)
