"""Learning rates that differ between parameters."""

from collections import defaultdict
from typing import Any

import torch


def set_rates(
    optimizer: torch.optim.Optimizer, model: torch.nn.Module, factors: dict[str, float]
) -> None:
    """Split the optimizer's groups, so that each has one rate; the schedule moves all alike.

    Args:
        factors: of the optimizer's rate, by name of the parameter; those not named keep it.
    """
    factor_of = {
        parameter: factors[name] for name, parameter in model.named_parameters() if name in factors
    }
    for group in list(optimizer.param_groups):
        parts: dict[float, list[Any]] = defaultdict(list)
        for parameter in group["params"]:
            parts[factor_of.get(parameter, 1.0)].append(parameter)
        group["params"] = parts.pop(1.0, [])
        for factor, parameters in parts.items():
            settings = {**group, "params": parameters, "lr": group["lr"] * factor}
            optimizer.add_param_group(settings)
    # DeepSpeed leaves empty ones out, and a checkpoint has a rate for each.
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
