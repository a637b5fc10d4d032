"""What a process in BF16 takes that sees other shapes in every step."""

import os
import subprocess
import sys

import pytest
import torch

from finetune_trainer import computing, onednn
from finetune_trainer.recipe import Device

STEPS = """
from pathlib import Path
import torch

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) >> 10

modules = [(torch.nn.Linear(384, 1536), torch.nn.GELU(), torch.nn.Linear(1536, 384))] * 2
model = torch.nn.Sequential(*(each for layer in modules for each in layer)).bfloat16()

def step(tokens):
    row = torch.zeros(tokens, 384, dtype=torch.bfloat16, requires_grad=True)
    model(row).square().mean().backward()
    model.zero_grad()

for _ in range(2):
    step(512)
before = resident()
for tokens in range(200, 400):
    step(tokens)
print(resident() - before)
"""


@pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX512"),
    reason="torch gives products in BF16 to oneDNN on processors with AVX-512 only",
)
def test_kernels_of_lengths_that_have_been_are_let_go() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEPS],
        env=os.environ | computing.environment(Device.CPU, 1),
        check=True,
        stdout=subprocess.PIPE,
        timeout=300,
    )
    assert int(done.stdout) < 100, "MiB; 555 where each of 1,024 kernels is kept"


def test_a_gpu_s_processes_are_left_alone() -> None:
    assert onednn.environment(Device.GPU) == {}
