"""The contestants, a file each: `run(assignment)` trains once over the data and returns Measured.

Adding one: a file, and a line here.
"""

CONTESTANTS = {
    "ours": "this trainer",
    "loop": "a hand-written loop with the same tricks",
    "guide": "transformers.Trainer + peft as the guide shows",
    "grouped": "the same, grouped by length",
    "trl_packing": "TRL SFTTrainer, packing",
    "trl_grouped": "TRL SFTTrainer, grouped by length",
    "trl_compiled": "TRL SFTTrainer, packing and torch.compile",
}
