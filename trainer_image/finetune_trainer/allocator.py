"""The allocator of processes that compute on a processor: jemalloc, where it is installed.

A step takes and gives back hundreds of blocks whose sizes follow the rows, so that no two steps are
alike. glibc keeps them in a heap that grows by what does not fit its gaps: in 40 steps it took 259
MiB where jemalloc took 219 (tests/trainer/test_allocator.py), at the same speed or less.
"""

from ctypes.util import find_library

from finetune_trainer.recipe import Device

_SETTINGS = (
    "oversize_threshold:0,thp:always,narenas:1,dirty_decay_ms:-1,lg_extent_max_active_fit:40"
)
"""Blocks of more than 8 MiB would else go back to the kernel at once, to be zeroed again a moment
later: twice the time of a step. Others would go back within ten seconds, which is a step or two:
130,000 page faults and a sixth of a step's time. What is kept may be cut for any block: by default
an extent of 64 times the size is not, and each step of Full would take half a gigabyte more from
the kernel. So the most that is held stays what the largest row takes, within 2 % of what it is
with memory given back. Huge pages save a tenth."""


def installed() -> str | None:
    """The name that the dynamic linker knows jemalloc by; None where it does not."""
    return find_library("jemalloc")


def environment(device: Device) -> dict[str, str]:
    """Variables of a process that computes on this device: none on a GPU, whose memory torch
    manages itself."""
    library = installed() if device is Device.CPU else None
    return {"LD_PRELOAD": library, "MALLOC_CONF": _SETTINGS} if library else {}
