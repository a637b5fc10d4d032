"""ONNXInt8: the ONNX export with weights of eight bits, by ONNX Runtime's dynamic quantization.

In operators of the ONNX standard (DynamicQuantizeLinear, MatMulInteger), which every execution
provider may take or leave to the processor: none of ONNX Runtime's own eight-bit ones.
"""

from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

from finetune_trainer.export import onnx
from finetune_trainer.export.comparison import by_torch, computed, difference, perplexities
from finetune_trainer.export.genai import MODEL
from finetune_trainer.export.material import Material

USE = onnx.USE


def write(material: Material, folder: Path) -> dict[str, float]:
    """The price is measured: perplexity beside that of the merged model in FP32."""
    merged = computed(by_torch(material.load_merged()), material.prompts)
    whole = material.scratch / "whole"
    whole.mkdir()
    onnx.write_graph(material, whole)
    quantize_dynamic(
        whole / MODEL,
        folder / MODEL,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
        # Without them the shapes that torch has inferred would be inferred again.
        extra_options={"DisableShapeInference": True},
    )
    for path in whole.iterdir():
        if not path.name.startswith(MODEL):
            path.rename(folder / path.name)
    found = computed(onnx.compute(folder), material.prompts)
    return difference(merged, found) | perplexities(perplexity=found, perplexityOfMerged=merged)
