"""What was measured on an H100, which no test here can measure again, holds the estimate."""

import pytest
from bench.memory.__main__ import holds, predict
from bench.memory.configurations import on_gpu

MEASURED = {
    "SmolLM2-135M LoRA BF16 4096": 6263,
    "SmolLM2-135M Full BF16 4096": 8127,
    "Phi-3-mini LoRA BF16 4096": 29011,
    "Phi-3-mini LoRA BF16 1024": 13661,
    "Phi-3-mini LoRA BF16 4096 again": 10733,
}
"""MiB of the card, by configuration: docs/gpu.md."""


@pytest.mark.parametrize("name", MEASURED)
def test_estimates_of_a_gpu(name: str) -> None:
    (configuration,) = (each for each in on_gpu() if each.name == name)
    supervised = int(configuration.tokens * configuration.supervised)
    assert holds(predict(configuration, supervised).total, MEASURED[name] << 20)
