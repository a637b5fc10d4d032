"""The contestants, a file each: `run(assignment)` trains once over the data and returns Measured.

Adding one: a file, and a line here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Contestant:
    """One way of training."""

    title: str
    launched: bool = False
    """Whether its process has the allocator, and threads that wait, as this trainer's launcher sets
    them on a CPU; the others have what torch and libgomp do where nobody sets anything."""
    timed: bool = True
    """False of one that is run once, for what it has learned."""
    module: str | None = None
    """Its file, where that is another's."""
    precision: str | None = None
    """In what it trains, whatever the others do."""


CONTESTANTS = {
    "ours": Contestant("this trainer", launched=True),
    "ours_fp32": Contestant("the same in FP32", launched=True, module="ours", precision="FP32"),
    "loop": Contestant("a hand-written loop with the same tricks", launched=True),
    "guide": Contestant("transformers.Trainer + peft as the guide shows"),
    "grouped": Contestant("the same, grouped by length"),
    "trl_packing": Contestant("TRL SFTTrainer, packing"),
    "trl_padding_free": Contestant("TRL SFTTrainer, free of padding"),
    "trl_grouped": Contestant("TRL SFTTrainer, grouped by length"),
    "trl_compiled": Contestant("TRL SFTTrainer, packing and torch.compile"),
    "packed": Contestant("the loop with no more than rows and attention per document"),
    "supervised": Contestant("the same, and supervised positions only to the head"),
    "parts": Contestant("the same, and the loss in parts"),
    "held_out": Contestant("what this trainer has learned", launched=True, timed=False),
}

LADDER = {
    "guide": "padded batches of four",
    "packed": "conversations end to end, attention per document",
    "supervised": "only supervised positions reach the head",
    "parts": "the logits of 256 positions at a time",
    "loop": "jemalloc",
    "ours": "this trainer: oneDNN's products; a node for each norm and update; checkpoints",
}
"""Each has what the one before has, and one trick more."""
