"""ONNX: the merged model for ONNX Runtime, in FP32.

Decoders of common architectures become graphs for onnxruntime-genai, with a key-value cache.
Everything else, encoders with their heads first of all, is exported by torch.
"""

from pathlib import Path

from finetune_trainer.export import genai, graph
from finetune_trainer.export.comparison import (
    Compute,
    by_torch,
    computed,
    difference,
    perplexities,
    verified,
)
from finetune_trainer.export.material import Material
from finetune_trainer.export_rules import genai_reasons
from finetune_trainer.heads import Head

USE = """\
import onnxruntime

session = onnxruntime.InferenceSession("FOLDER/model.onnx")
print([each.name for each in session.get_inputs()], [each.name for each in session.get_outputs()])
"""


def write(material: Material, folder: Path) -> dict[str, float]:
    merged = computed(by_torch(material.load_merged()), material.prompts)
    write_graph(material, folder)
    found = computed(compute(folder), material.prompts)
    return verified(difference(merged, found), "ONNX") | perplexities(perplexity=found)


def write_graph(material: Material, folder: Path) -> None:
    """model.onnx in FP32, what says how to run it, and the tokenizer."""
    generates = material.base.head is Head.CAUSAL_LM
    if generates and not any(genai_reasons(material.base)):
        genai.build(material.merged, folder)
    else:
        graph.export(material.load_merged(), material.prompts.ids[0], folder)
    material.tokenizer.save_pretrained(folder)


def compute(folder: Path) -> Compute:
    """What the graph in the folder computes."""
    if (folder / genai.CONFIG).exists():
        return genai.by_onnxruntime(folder)
    return graph.by_onnxruntime(folder)
