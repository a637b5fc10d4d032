"""What is answered, asked for by OpenAI's own client."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from openai.types.chat import ChatCompletionMessageParam
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_trainer.serve.backend import REVISION_HEADER
from tests.trainer import tiny_models
from tests.trainer.serving.server import Running, config, run

MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You help."},
    {"role": "user", "content": "What is a FineTuneJob?"},
]
TOKENS = 48

Reference = Callable[[str], str]


def generated(model: Any, tokenizer: Any) -> str:
    """Greedy, by transformers' generate alone."""
    prompt = tokenizer.apply_chat_template(
        MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        tokens = model.generate(**prompt, do_sample=False, max_new_tokens=TOKENS)
    answer = tokens[0, prompt["input_ids"].shape[1] :]
    return str(tokenizer.decode(answer, skip_special_tokens=True))


@pytest.fixture(scope="module")
def reference(base: Path, adapters: list[Path]) -> Reference:
    """The right answer of a model, loaded by plain transformers and peft."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    folders = dict(zip(("support-0001", "support-0002"), adapters, strict=True))

    def answer(name: str) -> str:
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        if name in folders:
            model = PeftModel.from_pretrained(model, str(folders[name]))
        return generated(model, tokenizer)

    return answer


@pytest.mark.parametrize("name", ["base", "support-0001", "support-0002"])
def test_greedy_answers_are_those_of_generate(
    server: Running, reference: Reference, name: str
) -> None:
    answer = server.client.chat.completions.create(
        model=name, messages=MESSAGES, temperature=0, max_tokens=TOKENS
    )
    assert answer.choices[0].message.content == reference(name)
    assert answer.choices[0].message.role == "assistant"
    assert answer.model == name


def test_each_model_says_something_else(reference: Reference) -> None:
    """Without this, the test above could not tell them apart."""
    assert len({reference(name) for name in ("base", "support-0001", "support-0002")}) == 3


def test_a_stream_says_the_same(server: Running) -> None:
    asked: dict[str, Any] = {"model": "support-0001", "messages": MESSAGES, "temperature": 0}
    whole = server.client.chat.completions.create(**asked, max_tokens=TOKENS)
    chunks = list(
        server.client.chat.completions.create(
            **asked,
            max_completion_tokens=TOKENS,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *pieces, accounting = chunks
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == (
        whole.choices[0].message.content
    )
    assert pieces[0].choices[0].delta.role == "assistant"
    assert [piece.choices[0].finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert accounting.choices == []
    assert accounting.usage == whole.usage
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1


def test_length_and_usage(server: Running) -> None:
    answer = server.client.chat.completions.create(
        model="base", messages=MESSAGES, temperature=0, max_tokens=5
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    tokens = answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.total_tokens == tokens


def test_the_end_token_ends(server: Running, base: Path) -> None:
    """Sampled until the end token comes: a random model of 258 tokens soon says it."""
    answer = server.client.chat.completions.create(
        model="base", messages=MESSAGES, temperature=2, seed=1, max_tokens=8000
    )
    assert answer.choices[0].finish_reason == "stop"
    assert "<|im_end|>" not in (answer.choices[0].message.content or "")


def test_a_stop_string_ends_and_is_left_out(server: Running, reference: Reference) -> None:
    right = reference("base")
    stop = right[10:13]
    kept = right[: right.index(stop)]
    asked: dict[str, Any] = {"model": "base", "messages": MESSAGES, "temperature": 0}
    answer = server.client.chat.completions.create(**asked, stop=[stop, "never said"])
    assert answer.choices[0].message.content == kept
    assert answer.choices[0].finish_reason == "stop"
    stream = server.client.chat.completions.create(**asked, stop=stop, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in stream) == kept


def test_a_seed_makes_chance_repeatable(server: Running) -> None:
    def sampled(seed: int) -> str | None:
        answer = server.client.chat.completions.create(
            model="base", messages=MESSAGES, seed=seed, top_p=0.9, max_tokens=32
        )
        return answer.choices[0].message.content

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


def test_completions_go_on_with_a_text(server: Running) -> None:
    asked: dict[str, Any] = {"model": "base", "prompt": "Once", "temperature": 0, "max_tokens": 9}
    whole = server.client.completions.create(**asked)
    stream = server.client.completions.create(**asked, stream=True)
    assert "".join(piece.choices[0].text for piece in stream) == whole.choices[0].text
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 9


def test_models_are_listed(server: Running) -> None:
    names = ["support", "support-0001", "support-0002", "base"]
    assert [model.id for model in server.client.models.list()] == names
    assert server.client.models.retrieve("support-0001").id == "support-0001"
    with pytest.raises(openai.NotFoundError):
        server.client.models.retrieve("other")


def test_the_workspace_is_answered_for_by_its_revisions(base: Path, adapters: list[Path]) -> None:
    """The response says which one; the shares are those of the seeded picker, exactly."""
    settings = config(
        base,
        revisions=[{"name": f"r{number}", "path": adapters[number]} for number in (0, 1)],
        traffic=[{"revision": "r0", "percent": 90}, {"revision": "r1", "percent": 10}],
    )
    with run(settings, seed=3) as running:
        asked: dict[str, Any] = {"model": "support", "prompt": "a", "max_tokens": 1}
        responses = [
            running.client.completions.with_raw_response.create(**asked) for _ in range(60)
        ]
    models = [response.parse().model for response in responses]
    assert models == [response.headers[REVISION_HEADER] for response in responses]
    chance = random.Random(3)
    assert models == ["r0" if chance.random() < 0.9 else "r1" for _ in range(60)]


def test_whole_models_and_revisions_that_are_the_base(base: Path, tmp_path: Path) -> None:
    other = tiny_models.write_model(tmp_path / "other", hidden_size=48)
    settings = config(
        base,
        revisions=[{"name": "full", "path": other}, {"name": "itself", "path": None}],
        traffic=[{"revision": "full", "percent": 100}],
    )
    expected = generated(
        AutoModelForCausalLM.from_pretrained(other), AutoTokenizer.from_pretrained(other)
    )
    with run(settings) as running:

        def answer(name: str) -> str | None:
            whole = running.client.chat.completions.create(
                model=name, messages=MESSAGES, temperature=0, max_tokens=TOKENS
            )
            return whole.choices[0].message.content

        assert answer("support") == answer("full") == expected
        assert answer("itself") == answer("base") != expected
