"""What is claimed of an estimate of memory."""

_SLACK = 128 << 20
"""Bytes."""


def holds(predicted: int, measured: int) -> bool:
    """Within 15 % or the slack; and at most 5 % under, because what is estimated too low ends a
    training that has begun."""
    near = abs(predicted - measured) <= max(0.15 * measured, _SLACK)
    return near and predicted >= 0.95 * measured
