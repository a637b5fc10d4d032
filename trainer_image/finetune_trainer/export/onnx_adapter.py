"""ONNXAdapter: the base model as a graph whose LoRA matrices are inputs, and a file that fills
them. One graph in memory answers as the base model and as any adapter of the same modules."""

from pathlib import Path

import numpy as np
import onnx_ir
import onnxruntime
from numpy.typing import NDArray

from finetune_trainer.export import genai
from finetune_trainer.export.comparison import (
    by_torch,
    computed,
    difference,
    perplexities,
    verified,
)
from finetune_trainer.export.material import Material

ADAPTER = "adapter.onnx_adapter"

USE = f"""\
import onnxruntime_genai

model = onnxruntime_genai.Model("FOLDER")
adapters = onnxruntime_genai.Adapters(model)
adapters.load("FOLDER/{ADAPTER}", "tuned")
tokenizer = onnxruntime_genai.Tokenizer(model)
parameters = onnxruntime_genai.GeneratorParams(model)
parameters.set_search_options(max_length=200, do_sample=False)
generator = onnxruntime_genai.Generator(model, parameters)
generator.set_active_adapter(adapters, "tuned")  # without this line: the base model
messages = '[{{"role": "user", "content": "What is your name?"}}]'
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
generator.append_tokens(tokenizer.encode(prompt))
start = generator.token_count()
while not generator.is_done():
    generator.generate_next_token()
print(tokenizer.decode(generator.get_sequence(0)[start:]))
"""

_MATRICES = (".lora_A.", ".lora_B.")
_INLINE_BYTES = 256
"""Smaller tensors lie in model.onnx itself, so also those of no bytes at all."""


def write(material: Material, folder: Path) -> dict[str, float]:
    tuned = computed(by_torch(material.tuned()), material.prompts)
    unfinished = material.scratch / "onnx-adapter"
    genai.build(material.base.path, unfinished, adapter=material.trained)
    matrices = _take_out(unfinished / genai.MODEL, folder / genai.MODEL)
    for path in unfinished.iterdir():
        if path.name not in (genai.MODEL, f"{genai.MODEL}.data"):
            path.rename(folder / path.name)
    material.tokenizer.save_pretrained(folder)
    _write_adapter(matrices, folder / ADAPTER)
    found = computed(genai.by_onnxruntime(folder, matrices), material.prompts)
    return verified(difference(tuned, found), "ONNXAdapter") | perplexities(perplexity=found)


def _take_out(source: Path, target: Path) -> dict[str, NDArray[np.float32]]:
    """Make inputs of the matrices, which by default have no ranks and so add nothing."""
    model = onnx_ir.load(source)
    matrices = {}
    for name, value in list(model.graph.initializers.items()):
        if not any(part in name for part in _MATRICES) or value.const_value is None:
            continue
        matrix = np.array(value.const_value.numpy(), dtype=np.float32)
        matrices[name] = matrix
        axis = 1 if ".lora_A." in name else 0
        empty = np.zeros([0 if at == axis else size for at, size in enumerate(matrix.shape)])
        value.const_value = onnx_ir.tensor(empty.astype(np.float32), name=name)
        value.shape = onnx_ir.Shape(
            ["lora_rank" if at == axis else size for at, size in enumerate(matrix.shape)]
        )
        model.graph.inputs.append(value)
    onnx_ir.save(
        model, target, external_data=f"{target.name}.data", size_threshold_bytes=_INLINE_BYTES
    )
    return matrices


def _write_adapter(matrices: dict[str, NDArray[np.float32]], path: Path) -> None:
    file = onnxruntime.AdapterFormat()
    file.set_adapter_version(1)
    file.set_model_version(1)
    file.set_parameters(
        {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(matrix)
            for name, matrix in matrices.items()
        }
    )
    file.export_adapter(str(path))
