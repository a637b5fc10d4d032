"""AIToolkit: a folder that AI Toolkit for VS Code, and Foundry Local, take as a model of their own.

A folder counts as a model there when it has genai_config.json and inference_model.json with a
name; the template in the latter turns a message into a prompt. Linear layers have weights of eight
bits, a quarter of FP32, because it is for the machine on somebody's desk.
"""

import json
from pathlib import Path

from finetune_trainer.export import genai
from finetune_trainer.export.comparison import by_torch, computed, difference, perplexities
from finetune_trainer.export.material import Material

MANIFEST = "inference_model.json"
_CONTENT = "{Content}"

USE = """\
import json

import onnxruntime_genai

with open("FOLDER/inference_model.json") as file:
    template = json.load(file)["PromptTemplate"]["prompt"]
model = onnxruntime_genai.Model("FOLDER")
tokenizer = onnxruntime_genai.Tokenizer(model)
parameters = onnxruntime_genai.GeneratorParams(model)
parameters.set_search_options(max_length=200, do_sample=False)
generator = onnxruntime_genai.Generator(model, parameters)
generator.append_tokens(tokenizer.encode(template.replace("{Content}", "What is your name?")))
start = generator.token_count()
while not generator.is_done():
    generator.generate_next_token()
print(tokenizer.decode(generator.get_sequence(0)[start:]))
"""


def write(material: Material, folder: Path) -> dict[str, float]:
    merged = computed(by_torch(material.load_merged()), material.prompts)
    genai.build(material.merged, folder, precision="int8")
    material.tokenizer.save_pretrained(folder)
    prompt = _prompt(material)
    content = {
        "Name": material.name,
        "PromptTemplate": {"prompt": prompt, "assistant": _CONTENT},
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    found = computed(genai.by_onnxruntime(folder), material.prompts)
    return difference(merged, found) | perplexities(perplexity=found, perplexityOfMerged=merged)


def _prompt(material: Material) -> str:
    """One message in the model's own template; the bare message where there is none."""
    if not material.tokenizer.chat_template:
        return _CONTENT
    prompt = material.tokenizer.apply_chat_template(
        [{"role": "user", "content": _CONTENT}], add_generation_prompt=True, tokenize=False
    )
    return str(prompt)
