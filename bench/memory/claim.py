"""What is claimed of an estimate of memory."""

from finetune_trainer.memory.estimate import Estimate

_SLACK = 128 << 20
"""Bytes."""

_OF_THE_TRACKER = 0.1


def holds(predicted: int, measured: int) -> bool:
    """Within 15 % or the slack; and at most 5 % under, because what is estimated too low ends a
    training that has begun."""
    near = abs(predicted - measured) <= max(0.15 * measured, _SLACK)
    return near and predicted >= 0.95 * measured


def in_use(predicted: Estimate) -> int:
    """Bytes of tensors, without the framework and what an allocator keeps."""
    return predicted.total - predicted.framework - predicted.allocator


def tracks(predicted: int, counted: int) -> bool:
    """Within 10 % of what torch's tracker counts of the same tensors."""
    return abs(predicted - counted) <= _OF_THE_TRACKER * counted
