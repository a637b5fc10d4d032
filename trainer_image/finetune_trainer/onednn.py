"""How many compiled kernels oneDNN keeps, in processes that compute on a processor.

It compiles one for each shape of a product in BF16, and torch keeps 1,024 of them in each of two
caches, at a third to half a megabyte. Rows are as long as their texts, so that steps bring ever new
shapes: LoRA on an encoder of 22 million weights held 600 MiB of kernels in the end, half of all
that it took, and its first ten steps took half as long again as later ones, for the memory that the
system had to give. With these numbers 1,309 MiB became 676, and a step 6 % shorter; SmolLM2-135M
went from 990 to 767 MiB at the same speed. All layers share the kernels of one.
"""

from finetune_trainer.recipe import Device

_ENVIRONMENT = {"LRU_CACHE_CAPACITY": "64", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
"""torch's own cache, in front of oneDNN's, which more kinds of operations come to."""


def environment(device: Device) -> dict[str, str]:
    """Variables of a process that computes on this device."""
    return dict(_ENVIRONMENT) if device is Device.CPU else {}
