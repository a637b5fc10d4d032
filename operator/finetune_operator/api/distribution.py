"""What of the model and of its training each process holds."""

from enum import StrEnum

from finetune_operator.api.base import ApiModel
from finetune_trainer.recipe import Offload


class StrategyChoice(StrEnum):
    """How the processes share memory."""

    AUTO = "Auto"
    DATA_PARALLEL = "DataParallel"
    ZERO1 = "ZeRO1"
    ZERO2 = "ZeRO2"
    ZERO3 = "ZeRO3"


class Distribution(ApiModel):
    """How the processes of a training share memory; no choice changes a result."""

    strategy: StrategyChoice = StrategyChoice.AUTO
    """DataParallel: every process holds all. ZeRO1: each holds its share of the optimizer's state.
    ZeRO2: of the gradients too. ZeRO3: of the weights too. Auto: the first of them that fits into
    the memory of a process, by the estimate of `finetune plan`; where model or memory
    are not known before, the trainer finds out. One process alone shares nothing. Default: Auto."""
    offload: Offload = Offload.NONE
    """What lies in the host's memory instead of the GPU's: Optimizer (its state, and the update is
    computed there; ZeRO1, ZeRO2 or ZeRO3) or OptimizerAndParameters (ZeRO3). Slow: for what fits in
    no other way. Default: None."""
