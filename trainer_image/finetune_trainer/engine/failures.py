"""What an end means: foreign exceptions become ours in one table, and a loss that is no number has
a cause."""

import errno

import torch
from torch import distributed

from finetune_trainer.errors import (
    ConfigurationError,
    DivergedError,
    OutOfMemoryError,
    PeerLostError,
    TrainerError,
    UnavailableError,
)

WHAT_TO_LOWER = (
    "lower training.maxLength or training.tokensPerBatch, or raise the memory limit in "
    "compute.podTemplate.resources"
)
_PEER_WORDS = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL")
_FULL = {errno.ENOSPC, errno.EDQUOT}


def translate(error: Exception) -> TrainerError | None:
    """The end that an exception means; None when it is nothing but a failure."""
    text = str(error)
    if isinstance(error, TrainerError):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return OutOfMemoryError(f"the GPU's memory is used up: {WHAT_TO_LOWER}; {text}")
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text:
        return OutOfMemoryError(f"the container's memory is used up: {WHAT_TO_LOWER}; {text}")
    if isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and any(word in text for word in _PEER_WORDS)
    ):
        return PeerLostError(f"another process of this attempt went away: {text}")
    if getattr(error, "errno", None) in _FULL or "No space left on device" in text:
        return UnavailableError(
            f"the volume is full: enlarge checkpoint.volumeClaim.size or lower checkpoint.keep; "
            f"{text}"
        )
    return None


def not_finite(model: torch.nn.Module, what: str) -> TrainerError:
    """The error of a loss that is no number: of weights that are none, or of a training that ran
    away.

    Args:
        what: which loss, and when.
    """
    for name, parameter in model.named_parameters():
        frozen = not parameter.requires_grad and parameter.is_floating_point()
        if frozen and not torch.isfinite(parameter).all():
            # As the model's files call it, without what PEFT has put around it.
            called = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
            return ConfigurationError(
                f"{what}, because {called} of the model holds values that are no numbers: fetch the"
                " model again, or choose another"
            )
    return DivergedError(
        f"{what}: lower training.learningRate or raise training.warmupSteps, and check the data"
    )
