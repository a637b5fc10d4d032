"""What Azure answers, in the envelopes that it documents, and what is to be made of it."""

from __future__ import annotations

from dataclasses import dataclass

from finetune_operator.api.reason import Reason
from finetune_operator.nodes.aks.errors import FOR_GOOD, Then
from tests.arm.cluster import RefusedError, flat, nested


@dataclass(frozen=True)
class Case:
    """An answer, and what is to be made of it."""

    answer: RefusedError
    reason: Reason
    then: Then
    seconds: float
    spot_seconds: float = 0.0
    """0: the same."""


INSUFFICIENT, QUOTA = Reason.INSUFFICIENT_CAPACITY, Reason.NODE_QUOTA_EXCEEDED
WRONG, GOES_ON = Reason.PROVISIONER_MISCONFIGURED, Reason.PROVISIONING
NEXT, SAME, NEVER = Then.NEXT_OFFER, Then.SAME_AGAIN, Then.NEVER

CASES = {
    "vCPU quota, flat": Case(
        flat(
            400,
            "ErrCode_InsufficientVCPUQuota",
            "Insufficient vcpu quota requested 24, remaining 4 for family standardNCADSA100v4Family"
            " for region eastus.",
        ),
        QUOTA,
        NEXT,
        600,
    ),
    "quota, within a deployment": Case(
        nested(
            400,
            "InvalidTemplateDeployment",
            "The template deployment is not valid. See inner errors for details.",
            ("QuotaExceeded", "Operation results in exceeding quota limits of Core."),
        ),
        QUOTA,
        NEXT,
        600,
    ),
    "a quota of none": Case(
        nested(
            409,
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved"
            " standardNCADSA100v4Family Cores quota. Current Limit: 0, Current Usage: 0,"
            " Additional Required: 24.",
        ),
        QUOTA,
        NEXT,
        3600,
    ),
    "a quota that is used up": Case(
        nested(
            409,
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved LowPriorityCores"
            " quota. Current Limit: 100, Current Usage: 96, Additional Required: 24.",
        ),
        QUOTA,
        NEXT,
        600,
    ),
    "immutable": Case(
        nested(409, "OperationNotAllowed", "Changing property 'vnetSubnetID' is not allowed."),
        WRONG,
        SAME,
        600,
    ),
    "immutable, by its code": Case(
        nested(
            400,
            "PropertyChangeNotAllowed",
            "Changing property 'gpuInstanceProfile' is not allowed.",
        ),
        WRONG,
        SAME,
        600,
    ),
    "busy": Case(
        nested(
            409,
            "OperationNotAllowed",
            "Managed Cluster operation is not allowed: Another operation (Updating) is in progress,"
            " please wait for it to finish before starting a new operation.",
        ),
        GOES_ON,
        SAME,
        60,
    ),
    "preempted": Case(
        nested(409, "AKSOperationPreempted", "Preempted by another operation."), GOES_ON, SAME, 60
    ),
    "no such size for this subscription": Case(
        nested(
            409,
            "SkuNotAvailable",
            "The requested VM size Standard_NC24ads_A100_v4 is not available in location eastus.",
        ),
        INSUFFICIENT,
        NEXT,
        23 * 3600,
        spot_seconds=3600,
    ),
    "none free": Case(
        nested(409, "AllocationFailed", "Allocation failed."), INSUFFICIENT, NEXT, 600
    ),
    "none free in a zone, told in text": Case(
        nested(
            400,
            "CreateVMSSAgentPoolFailed",
            'Code="ZonalAllocationFailed" Message="Allocation failed in zone 1."',
        ),
        INSUFFICIENT,
        NEXT,
        600,
    ),
    "too many wishes at once": Case(
        nested(409, "Conflict", "", ("OverconstrainedZonalAllocationRequest", "Overconstrained.")),
        INSUFFICIENT,
        NEXT,
        600,
    ),
    "a region that is full": Case(
        nested(400, "AKSCapacityHeavyUsage", "AKS is experiencing heavy usage in eastus."),
        INSUFFICIENT,
        NEXT,
        600,
    ),
    "a size that AKS does not have": Case(
        nested(400, "VMSizeNotSupported", "Virtual Machine size is not supported."),
        Reason.PROVISIONING_FAILED,
        NEVER,
        FOR_GOOD,
    ),
    "no role": Case(
        nested(
            403,
            "AuthorizationFailed",
            "The client does not have authorization to perform action"
            " 'Microsoft.ContainerService/managedClusters/agentPools/write'.",
        ),
        WRONG,
        SAME,
        300,
    ),
    "no cluster": Case(
        nested(404, "ResourceNotFound", "The Resource 'managedClusters/prod' was not found."),
        WRONG,
        SAME,
        300,
    ),
    "too many requests": Case(
        RefusedError(
            429,
            {"error": {"code": "Throttled", "message": "Please retry again in 42 seconds."}},
            {"Retry-After": "42"},
        ),
        GOES_ON,
        SAME,
        42,
    ),
    "changed by somebody else": Case(
        nested(412, "PreconditionFailed", "The agent pool is not as the request says."),
        GOES_ON,
        SAME,
        1,
    ),
    "not understood": Case(
        nested(400, "InvalidParameter", "The value of parameter vnetSubnetID is invalid."),
        WRONG,
        SAME,
        600,
    ),
    "out of order": Case(
        nested(503, "ServiceUnavailable", "The service is unavailable."), GOES_ON, SAME, 30
    ),
    "no JSON": Case(RefusedError(502, {}), GOES_ON, SAME, 30),
    "anything else": Case(
        nested(409, "ReconcileVMSSAgentPoolFailed", "We are unable to serve this request."),
        INSUFFICIENT,
        NEXT,
        600,
    ),
}
