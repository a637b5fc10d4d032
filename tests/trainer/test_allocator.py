"""What a process takes whose blocks are of other sizes in every step."""

import os
import subprocess
import sys

from finetune_trainer import allocator
from finetune_trainer.recipe import Device

MOST = """
from pathlib import Path

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) >> 10
"""

ROWS = """
import random, torch

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

SMALL_AFTER_LARGE = """
import torch

before = most()
for _ in range(8):
    torch.ones(100 << 20)
    held = [torch.ones(1 << 18) for _ in range(300)]
    del held
print(most() - before)
"""


def taken(steps: str, **environment: str) -> int:
    """MiB at most."""
    done = subprocess.run(
        [sys.executable, "-c", MOST + steps],
        env=os.environ | environment,
        check=True,
        stdout=subprocess.PIPE,
        timeout=300,
    )
    return int(done.stdout)


def test_rows_of_other_lengths_do_not_pile_up() -> None:
    with_ours = taken(ROWS, **allocator.environment(Device.CPU))
    assert with_ours < 0.95 * taken(ROWS), "the same steps in glibc's heap"


def test_small_blocks_are_cut_from_what_a_large_one_has_left() -> None:
    assert taken(SMALL_AFTER_LARGE, **allocator.environment(Device.CPU)) < 450, "of 400 in use"


def test_a_gpu_s_processes_are_left_alone() -> None:
    assert allocator.environment(Device.GPU) == {}
