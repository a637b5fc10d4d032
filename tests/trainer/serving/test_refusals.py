"""What is refused, in OpenAI's envelope."""

from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.serve.models import load
from tests.trainer import tiny_models
from tests.trainer.serving.server import Running, config, run

ASKED: dict[str, Any] = {"model": "base", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"n": 2}, "n", "not supported"),
        ({"logprobs": True}, "logprobs", "not supported"),
        ({"presence_penalty": 0.5}, "presence_penalty", "not supported"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most 4"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role", "Input should be"),
        ({"unheard_of": 1}, "unheard_of", "unrecognized request argument"),
        ({"max_tokens": 20000}, "messages", "16384 tokens"),
        ({"messages": [{"role": "user", "content": "x" * 17000}]}, "messages", "16384 tokens"),
    ],
)
def test_a_bad_parameter_is_named(
    server: Running, change: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as caught:
        server.client.chat.completions.create(**{**ASKED, "extra_body": change})
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    "change",
    [
        {"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logprobs": False},
        {"user": "somebody", "metadata": {"a": "b"}, "stop": None, "seed": None},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "Hello"}]}]},
    ],
)
def test_what_asks_for_nothing_is_taken(server: Running, change: dict[str, Any]) -> None:
    server.client.chat.completions.create(**{**ASKED, "max_tokens": 1, "extra_body": change})


def test_unknown_model(server: Running) -> None:
    with pytest.raises(openai.NotFoundError, match="`other` does not exist; there are support"):
        server.client.chat.completions.create(**{**ASKED, "model": "other"})


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b"[]", 400),
        ("/v1/chat/completions", b"{}", 400),
        ("/v1/chat/completions", b"\xff", 400),
        ("/v1/chat/completions", b" " * (9 << 20), 413),
        ("/v1/embeddings", b"{}", 404),
        ("/v1/models", b"{}", 405),
    ],
)
def test_every_refusal_has_the_envelope(
    server: Running, path: str, body: bytes, status: int
) -> None:
    answer = httpx2.post(f"{server.url}{path}", content=body, timeout=30)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_no_chat_template(tmp_path: Path) -> None:
    folder = tiny_models.write_model(tmp_path / "model")
    tiny_models.write_tokenizer(folder, chat_template=None)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    with run(config(folder)) as running:
        with pytest.raises(openai.BadRequestError, match="no chat template"):
            running.client.chat.completions.create(**ASKED)
        running.client.completions.create(model="base", prompt="Hello", max_tokens=1)


def test_a_template_that_refuses_the_messages(tmp_path: Path) -> None:
    folder = tiny_models.write_model(tmp_path / "model")
    template = "{{ raise_exception('roles must alternate') }}"
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tiny_models.write_tokenizer(folder, chat_template=template)
    with (
        run(config(folder)) as running,
        pytest.raises(openai.BadRequestError, match="roles must alternate"),
    ):
        running.client.chat.completions.create(**ASKED)


def test_nothing_is_answered_before_the_models_have(base: Path) -> None:
    with run(config(base), ready=False) as running:
        assert running.get("/healthz") == "ok\n"
        assert running.get("/readyz") == "the models do not answer yet\n"
        with pytest.raises(openai.InternalServerError, match="being loaded"):
            running.client.chat.completions.create(**ASKED)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "holds no model"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "cannot be loaded"),
    ],
)
def test_a_base_that_cannot_be_loaded(tmp_path: Path, break_it: Any, words: str) -> None:
    folder = tiny_models.write_model(tmp_path / "model")
    break_it(folder)
    with pytest.raises(ConfigurationError, match=words):
        load(config(folder))


def test_an_adapter_of_another_base(tmp_path: Path, adapters: list[Path]) -> None:
    other = tiny_models.write_model(tmp_path / "other", hidden_size=48)
    with pytest.raises(ConfigurationError, match="does not fit the base"):
        load(config(other, revisions=[{"name": "r", "path": adapters[0]}]))


def test_an_adapter_with_pickled_weights_only(base: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ConfigurationError, match="pickled weights are not read"):
        load(config(base, revisions=[{"name": "r", "path": tmp_path}]))
