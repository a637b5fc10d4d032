"""What processes tell each other that hold the same model."""

import json
import os
import socket
import subprocess
import sys

PROCESS = """
import json, torch
from torch import distributed
from finetune_trainer.engine.world import keep_frozen_weights, leave

distributed.init_process_group("gloo")
rank = distributed.get_rank()
model = torch.nn.Linear(1, 1)
model.weight.data.fill_(rank)
model.bias.data.fill_(rank)
model.bias.requires_grad_(False)
keep_frozen_weights(model)
shared = torch.nn.parallel.DistributedDataParallel(model)
shared(torch.tensor([2.0 + rank])).backward()
told = {"frozen": model.bias, "trained": model.weight, "gradient": model.weight.grad}
print(json.dumps({name: value.item() for name, value in told.items()}))
# With the group's last reference it would wait for gloo's thread, and that for Python's lock.
del shared
leave()
"""


def test_frozen_weights_are_not_sent() -> None:
    """Each process has its own numbers in the model: only those of what is trained become equal."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS],
            env=os.environ | place | {"WORLD_SIZE": "2", "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=180)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    leading, other = map(json.loads, said)
    assert (leading["frozen"], other["frozen"]) == (0.0, 1.0)
    assert (leading["trained"], other["trained"]) == (0.0, 0.0)
    assert leading["gradient"] == other["gradient"] == (2.0 + 3.0) / 2
