"""Answers that the model writes by itself, greedily and in batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from finetune_trainer.data.examples import Tokens
from finetune_trainer.engine.attention import PER_DOCUMENT

_LARGEST_BATCH = 64


def batches(lengths: Sequence[int], more: int, capacity: int) -> list[tuple[int, ...]]:
    """Prompts of similar length together, the longest first.

    Args:
        lengths: tokens of each prompt.
        more: tokens that each may grow by.
        capacity: tokens of a batch, padding included; one prompt is a batch whatever its length.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    made: list[tuple[int, ...]] = []
    while order:
        size = max(1, min(_LARGEST_BATCH, capacity // (lengths[order[0]] + more)))
        made.append(tuple(order[:size]))
        order = order[size:]
    return made


def answer(
    model: Any,
    prompts: Sequence[Tokens],
    *,
    max_new_tokens: int,
    end_tokens: Sequence[int],
    device: torch.device,
) -> list[Tokens]:
    """What the model goes on with after each prompt, without the end token.

    Always the likeliest token, until an end token, `max_new_tokens` or the last position that the
    model has. The model's own settings for sampling and repetition do not count.
    """
    longest = max(len(prompt) for prompt in prompts)
    ids = np.full((len(prompts), longest), end_tokens[0])
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    virtual = _virtual_tokens(model)
    room = _positions(model) - longest - virtual
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    settings = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max(1, min(max_new_tokens, room)),
        max_length=None,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        use_cache=True,
        eos_token_id=list(end_tokens),
        pad_token_id=end_tokens[0],
    )
    padded, present = (torch.from_numpy(each).to(device) for each in (ids, mask))
    with _padded_attention(base), _side_by_side(base), torch.no_grad():
        given = (
            _prompted(model, padded, present, virtual)
            if virtual
            else {"input_ids": padded, "attention_mask": present}
        )
        written = base.generate(**given, generation_config=settings)
    # After embeddings only what is new comes back.
    new = written.cpu().numpy()[:, 0 if virtual else longest :]
    return [_until(row, end_tokens) for row in new]


@contextmanager
def _side_by_side(base: Any) -> Iterator[None]:
    """The head is asked about the last position of every text, and these lie a text apart in
    memory: for each of them torch would make a copy of the head's weights (torch 2.13, in BF16 on a
    processor), which for 35 texts and the smallest of models are two gigabytes."""

    def gathered(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(each.contiguous() for each in given)

    hook = base.get_output_embeddings().register_forward_pre_hook(gathered)
    try:
        yield
    finally:
        hook.remove()


def _virtual_tokens(model: Any) -> int:
    """Of prompt tuning."""
    config = getattr(model, "active_peft_config", None)
    return int(config.num_virtual_tokens) if config and config.is_prompt_learning else 0


def _prompted(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, virtual: int
) -> dict[str, torch.Tensor]:
    """Embeddings with the trained prompt before each question; PEFT puts it before the padding."""
    texts = model.get_base_model().get_input_embeddings()(ids)
    prompt = model.get_prompt(1)[0].to(texts.dtype)
    padding = ids.shape[1] - mask.sum(dim=1)
    rows = [
        torch.cat([text[:free], prompt, text[free:]])
        for text, free in zip(texts, padding.tolist(), strict=True)
    ]
    places = torch.arange(ids.shape[1] + virtual, device=ids.device)
    return {
        "inputs_embeds": torch.stack(rows),
        "attention_mask": (places[None] >= padding[:, None]).long(),
    }


def _until(tokens: Tokens, end_tokens: Sequence[int]) -> Tokens:
    ends = np.flatnonzero(np.isin(tokens, end_tokens))
    return tokens[: ends[0]] if len(ends) else tokens


def _positions(model: Any) -> int:
    """Beyond counting where the model names no limit."""
    found = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(found) if found else 2**31


@contextmanager
def _padded_attention(base: Any) -> Iterator[None]:
    """Per-document attention knows rows only: no padding, and no cache of keys and values."""
    ours = base.config._attn_implementation == PER_DOCUMENT
    if ours:
        base.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        if ours:
            base.set_attn_implementation(PER_DOCUMENT)
