"""What a process takes whose blocks are of other sizes in every step."""

import os
import subprocess
import sys

from finetune_trainer import allocator
from finetune_trainer.recipe import Device

STEPS = """
import random, torch
from pathlib import Path

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) >> 10

random.seed(1)
modules = [(torch.nn.Linear(384, 1536), torch.nn.GELU(), torch.nn.Linear(1536, 384))] * 6
model = torch.nn.Sequential(*(each for layer in modules for each in layer))
before = most()
for _ in range(40):
    row = torch.zeros(random.randint(100, 1500), 384, requires_grad=True)
    model(row).square().mean().backward()
    model.zero_grad()
print(most() - before)
"""


def taken(**environment: str) -> int:
    """MiB at most."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS],
        env=os.environ | environment,
        check=True,
        stdout=subprocess.PIPE,
        timeout=300,
    )
    return int(done.stdout)


def test_rows_of_other_lengths_do_not_pile_up() -> None:
    with_ours = taken(**allocator.environment(Device.CPU))
    assert with_ours < 0.85 * taken(), "the same steps in glibc's heap"


def test_a_gpu_s_processes_are_left_alone() -> None:
    assert allocator.environment(Device.GPU) == {}
