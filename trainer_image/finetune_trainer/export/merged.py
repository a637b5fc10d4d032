"""Merged: a whole model as transformers, vLLM and others load it."""

from pathlib import Path

from finetune_trainer.export.comparison import by_torch, computed, difference, perplexities
from finetune_trainer.export.material import Material

USE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
"""


def write(material: Material, folder: Path) -> dict[str, float]:
    """Compared in FP32: what differs is that merged weights are rounded to the base's format."""
    material.write_merged(folder)
    material.use_merged(folder)
    adapted = computed(by_torch(material.tuned()), material.prompts)
    merged = computed(by_torch(material.load_merged()), material.prompts)
    return difference(adapted, merged) | perplexities(perplexity=merged)
