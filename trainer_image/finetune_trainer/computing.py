"""What a process that computes finds in its environment: for the launcher, and for benchmarks."""

from finetune_trainer import allocator, onednn, threads
from finetune_trainer.recipe import Device


def environment(device: Device, number_of_threads: int) -> dict[str, str]:
    """Variables of a process that computes on this device, with so many threads on a processor."""
    return {
        **threads.environment(number_of_threads),
        **allocator.environment(device),
        **onednn.environment(device),
    }
