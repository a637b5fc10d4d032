"""Which files of a source are of use."""

from pathlib import Path

import pytest

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.fetch.contents import check, select
from finetune_trainer.fetch.source import Kind, Source


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (
            ["config.json", "model.safetensors", "tokenizer.model", "chat_template.jinja"],
            ["config.json", "model.safetensors", "tokenizer.model", "chat_template.jinja"],
        ),
        (["pytorch_model.bin", "training_args.bin", "modeling_phi.py", ".gitattributes"], []),
        (["onnx/model.onnx", "original/consolidated.00.pth", "gguf/model.gguf"], []),
        (["LICENSE", "NOTICE.md", "README.md"], ["LICENSE", "NOTICE.md", "README.md"]),
        # Mistral's repositories carry the weights twice.
        (
            ["consolidated.safetensors", "model-00001-of-00002.safetensors"],
            ["model-00001-of-00002.safetensors"],
        ),
        (["consolidated.safetensors"], ["consolidated.safetensors"]),
        (["merges.txt", "vocab.json"], ["merges.txt", "vocab.json"]),
    ],
)
def test_models(found: list[str], wanted: list[str]) -> None:
    assert select(Kind.MODEL, found) == set(wanted)


def test_data() -> None:
    found = ["a.jsonl", "deep/b.jsonl", "c.json", "d.parquet", "README.md"]
    assert select(Kind.DATASET, found) == {"a.jsonl", "deep/b.jsonl"}


def test_an_adapter_is_settings_and_weights() -> None:
    source = Source("oci://registry/a:v1", "", Kind.of(Path("/workspace/inputs/adapter")))
    found = ["adapter_config.json", "adapter_model.safetensors", "report.html", "README.md"]
    selected = select(source.kind, found)
    assert selected == set(found) - {"report.html"}
    check(source, selected, found)
    with pytest.raises(ConfigurationError, match=r"spec\.model\.adapterUri: .* is no adapter"):
        check(source, ["model.safetensors"], ["model.safetensors"])
