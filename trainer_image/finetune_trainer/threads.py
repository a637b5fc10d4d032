"""How the threads of a process that computes wait for their next share of the work."""

_SPINS = 1000
"""How often a thread looks before it sleeps: some 20 µs. A step is thousands of shares of 5 to 500
µs with as little between them, and to wake a thread takes 45 µs: LoRA at 256 tokens took 1.24 s a
step without spinning, 0.98 s with this, and no less with libgomp's own 300,000. Those cost ten
times the work where others use the processors too; this 1.14 times, where two processes of two
threads share two processors."""


def environment(number: int) -> dict[str, str]:
    """Variables of a process that computes with so many threads."""
    return {
        # The libraries see the machine's processors, not the container's quota.
        "OMP_NUM_THREADS": str(number),
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": str(_SPINS),
    }
