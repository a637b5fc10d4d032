"""docs/exports-measured.md from the measured exports. Pure."""

from collections.abc import Mapping
from typing import Any

_MIB = 1 << 20
BOUND = 1e-3
"""How far logits of an FP32 export may be from PyTorch's."""
_EXACT = ("ONNX", "ONNXAdapter")
"""Exports in FP32, whose logits and answers have to be PyTorch's."""
_INTRODUCTION = """\
<!-- Written by `make bench-exports` from data/exports.json: do not edit. -->

# Exports, measured

SmolLM2-135M-Instruct, tuned for {steps} steps on the chat example with LoRA of rank 16, and each
[export](exports.md) of it beside PyTorch on {prompts} held-out prompts of up to {tokens} tokens:
the largest difference of two logits, the share of the last 8 positions of each prompt at which both
say the same token, and the perplexity over all of its tokens. Answers are {answer} tokens, said
greedily after each prompt, by onnxruntime-genai and by transformers. **Bold**: not as it has to be.

```console
$ make bench-exports BENCH_ARGUMENTS="--json docs/data/exports.json --page docs/exports-measured.md"
```

`Merged` is compared with base model and adapter in FP32, `ONNXAdapter` too; the others with the
merged model, whose weights are rounded to the base's bfloat16.
"""


def page(report: Mapping[str, Any]) -> str:
    """The whole page."""
    versions, exports = report["versions"], report["exports"]
    merged = next(each["figures"]["perplexity"] for each in exports if each["export"] == "Merged")
    return "\n".join(
        [
            _INTRODUCTION.format(**report["settings"]),
            "| export | MiB | made in | logits differ | same token | answers | perplexity |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(_row(each) for each in exports),
            "",
            f"Eight bits cost perplexity: {_cost(exports, 'ONNXInt8', merged)} where activations"
            " are quantized as well",
            f"(`ONNXInt8`), {_cost(exports, 'AIToolkit', merged)} where only weights are"
            " (`AIToolkit`).",
            "",
            "QLoRA trains on the model in four bits, and what is served is the model without them:"
            " the",
            f"divergence (Kullback-Leibler) of the one's next token from the other's is"
            f" {report['divergence']:.3f} nats.",
            "",
            f"{versions['processor']}, {versions['cores']} cores; torch {versions['torch']},",
            f"transformers {versions['transformers']}, peft {versions['peft']};"
            f" commit {versions['commit']}.",
            "",
        ]
    )


def _row(row: Mapping[str, Any]) -> str:
    figures, answers = row["figures"], row.get("sameAnswers", "")
    exact = row["export"] in _EXACT
    same, _, of = answers.partition("/")
    far = exact and figures["logitDifference"] > BOUND
    differs = exact and same != of
    return (
        f"| `{row['export']}` | {row['bytes'] / _MIB:.0f} | {row['seconds']:.0f} s"
        f" | {_bold(format(figures['logitDifference'], '.1e'), far)}"
        f" | {figures['sameAnswer']:.1%} | {_bold(answers, differs)}"
        f" | {figures['perplexity']:.2f} |"
    )


def _bold(text: str, missed: bool) -> str:
    return f"**{text}**" if missed else text


def _cost(exports: list[Mapping[str, Any]], name: str, merged: float) -> str:
    found = next(each["figures"]["perplexity"] for each in exports if each["export"] == name)
    return f"{merged:.1f} → {found:.1f}"
