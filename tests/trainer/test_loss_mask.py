"""Supervised is exactly what the model is to say: the assistant's turns with their end tokens."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from finetune_trainer.data.chat_template import ChatTemplate
from finetune_trainer.data.dataset import load_dataset
from finetune_trainer.data.examples import TokensExample
from finetune_trainer.data.formats import (
    AlpacaLine,
    ColumnValues,
    OpenAIChatLine,
    Record,
    Role,
    TextLine,
    ToolCall,
    Turn,
)
from finetune_trainer.errors import ConfigurationError, DataError
from finetune_trainer.recipe import Task
from finetune_trainer.tasks import TASKS, Encoder
from finetune_trainer.workspace import Workspace
from tests.trainer.chat_templates import CHATML, FAMILIES
from tests.trainer.recipes import CONVERSATIONS, recipe, workspace

LONG = 4096
ANSWERS = ["Berlin has the Spree.", "  two\n\nlines - and  spaces ", "42"]


def conversation(*answers: str, system: bool) -> Record:
    messages = [{"role": "system", "content": "Answer well."}] if system else []
    for number, answer in enumerate(answers):
        messages += [
            {"role": "user", "content": f"Question {number}?\n\nto think about"},
            {"role": "assistant", "content": answer},
        ]
    return OpenAIChatLine.model_validate({"messages": messages}).record()


def encoder(task: Task, tokenizer: Any, length: int = LONG) -> Encoder:
    made = recipe(task=task, training={"maxLength": length})
    return TASKS[task].prepare(tokenizer, made, [])


def said(tokenizer: Any, example: TokensExample) -> list[str]:
    """Text of each run of supervised tokens."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], example.supervised.astype(int), [0]])))
    runs = edges.reshape(-1, 2)
    return [tokenizer.decode(example.ids[start:end]) for start, end in runs]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, smollm2: Path) -> tuple[Any, str]:
    """A tokenizer, and the token that ends an answer."""
    chosen = FAMILIES[request.param]
    return chosen.tokenizer(smollm2), chosen.end


@pytest.mark.parametrize("system", [True, False], ids=["system", "no system"])
def test_chat(family: tuple[Any, str], system: bool) -> None:
    tokenizer, end = family
    (example,) = encoder(Task.CHAT, tokenizer)(conversation(*ANSWERS, system=system))
    runs = said(tokenizer, example)
    assert all(run.endswith(end) for run in runs)
    # Llama-3's template trims messages; a sentencepiece decoder drops the first space.
    assert [run.removesuffix(end).strip() for run in runs] == [text.strip() for text in ANSWERS]


@pytest.mark.parametrize("task", [Task.CHAT, Task.INSTRUCTION])
def test_alpaca(family: tuple[Any, str], task: Task) -> None:
    tokenizer, end = family
    line = {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"}
    (example,) = encoder(task, tokenizer)(AlpacaLine.model_validate(line).record())
    assert [run.strip() for run in said(tokenizer, example)] == [f"Good day{end}"]
    assert "Guten Tag" in tokenizer.decode(example.ids[~example.supervised])


def test_an_answer_to_a_question_about_a_text(family: tuple[Any, str]) -> None:
    tokenizer, end = family
    columns = ColumnValues(question="Who?", context="Ada wrote it.", answer=("Ada", "Ada L."))
    (example,) = encoder(Task.QUESTION_ANSWERING, tokenizer)(Record(columns=columns))
    assert [run.strip() for run in said(tokenizer, example)] == [f"Ada{end}"]
    assert "Ada wrote it.\n\nWho?" in tokenizer.decode(example.ids[~example.supervised])


@pytest.mark.parametrize(
    ("languages", "request_"),
    [
        ({}, "Translate:"),
        ({"targetLanguage": "English"}, "Translate into English:"),
        (
            {"sourceLanguage": "German", "targetLanguage": "English"},
            "Translate from German into English:",
        ),
    ],
)
def test_a_translation_names_its_languages(
    smollm2: Path, languages: dict[str, str], request_: str
) -> None:
    tokenizer = FAMILIES["SmolLM2"].tokenizer(smollm2)
    made = recipe(task="Translation", translation=languages)
    encode = TASKS[made.task].prepare(tokenizer, made, [])
    (example,) = encode(Record(columns=ColumnValues(source="Guten Tag", target="Good day")))
    assert said(tokenizer, example) == ["Good day<|im_end|>"]
    assert f"user\n{request_}\n\nGuten Tag<|im_end|>" in tokenizer.decode(example.ids)


def test_text_is_learned_whole_with_its_end(family: tuple[Any, str]) -> None:
    tokenizer, _ = family
    record = TextLine(text="Once upon a time there was a test.").record()
    (example,) = encoder(Task.COMPLETION, tokenizer)(record)
    assert example.supervised.all()
    assert int(example.ids[-1]) == tokenizer.eos_token_id
    assert int((example.ids == tokenizer.eos_token_id).sum()) == 1


def test_prompt_is_tokenized_as_when_the_model_is_asked(family: tuple[Any, str]) -> None:
    tokenizer, _ = family
    record = conversation("an answer", system=False)
    (example,) = encoder(Task.CHAT, tokenizer)(record)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": record.turns[0].content}],
        add_generation_prompt=True,
        return_dict=True,
    )["input_ids"]
    first = int(np.flatnonzero(example.supervised)[0])
    assert list(example.ids[:first]) == list(asked)


def test_long_text_becomes_windows_that_lose_nothing(smollm2: Path) -> None:
    tokenizer = FAMILIES["SmolLM2"].tokenizer(smollm2)
    record = Record(text="word " * 100)
    (whole,) = encoder(Task.COMPLETION, tokenizer)(record)
    windows = encoder(Task.COMPLETION, tokenizer, 16)(record)
    assert all(window.length <= 16 for window in windows)
    assert np.array_equal(np.concatenate([window.ids for window in windows]), whole.ids)


def test_the_template_of_the_job_takes_the_place_of_the_models(
    tiny_model: Path, tmp_path: Path
) -> None:
    template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>{% endfor %}"
    template += "{% if add_generation_prompt %}[assistant] {% endif %}"
    made = workspace(tmp_path, tiny_model, CONVERSATIONS[:1], dataset={"chatTemplate": template})
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_model)
    dataset = load_dataset(made, Workspace(tmp_path), tokenizer)
    (example,) = dataset.train.examples
    assert isinstance(example, TokensExample)
    text = tokenizer.decode(example.ids)
    assert text == "[user] What comes after 0?<|im_end|>[assistant] 1<|im_end|>"
    assert said(tokenizer, example) == ["1<|im_end|>"]
    assert dataset.tokenizer.chat_template == template  # so that it is published


def test_instruction_brings_a_template_to_a_base_model(smollm2: Path) -> None:
    tokenizer = FAMILIES["SmolLM2"].tokenizer(smollm2)
    tokenizer.chat_template = None
    with pytest.raises(ConfigurationError, match="set task: Instruction"):
        encoder(Task.CHAT, tokenizer)
    encode = encoder(Task.INSTRUCTION, tokenizer)
    (example,) = encode(conversation("An answer.", system=True))
    assert said(tokenizer, example) == [f"An answer.{tokenizer.eos_token}"]
    assert tokenizer.chat_template
    with pytest.raises(DataError, match="set task: Chat"):
        encode(conversation("one", "two", system=False))


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([Turn(Role.USER, "a")], "no message of role assistant"),
        (
            [Turn(Role.USER, "a"), Turn(Role.ASSISTANT, "b<|im_end|>c")],
            "message 2 contains <|im_end|>",
        ),
    ],
)
def test_unusable_conversations_are_refused(smollm2: Path, turns: list[Turn], message: str) -> None:
    with pytest.raises(DataError) as raised:
        ChatTemplate(FAMILIES["SmolLM2"].tokenizer(smollm2)).encode(turns)
    assert message in str(raised.value)


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {}}}
CALLED = [
    Turn(Role.USER, "Rain in Bonn?"),
    Turn(Role.ASSISTANT, "", tool_calls=(ToolCall("weather", {"city": "Bonn"}, "1"),)),
    Turn(Role.TOOL, "dry", tool_call_id="1"),
    Turn(Role.ASSISTANT, "No."),
]
TOOL_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    + CHATML.replace(
        "message['content']",
        "message['content'] + (message.tool_calls[0].function | tojson"
        " if message.tool_calls else '')",
    )
)


def test_a_call_is_learned_and_its_result_is_not(smollm2: Path) -> None:
    tokenizer = FAMILIES["SmolLM2"].tokenizer(smollm2)
    tokenizer.chat_template = TOOL_TEMPLATE
    example = ChatTemplate(tokenizer).encode(CALLED, [WEATHER])
    asked, answered = said(tokenizer, example)
    assert '"name": "weather"' in asked
    assert '{"city": "Bonn"}' in asked
    assert answered == "No.<|im_end|>"


def test_tools_that_the_template_passes_over_are_refused(smollm2: Path) -> None:
    with pytest.raises(DataError, match="leaves out tools"):
        ChatTemplate(FAMILIES["SmolLM2"].tokenizer(smollm2)).encode(CALLED, [WEATHER])


def test_an_answer_of_weight_0_is_read_only(smollm2: Path) -> None:
    tokenizer = FAMILIES["SmolLM2"].tokenizer(smollm2)
    first, *others = conversation("one", "two", system=False).turns[1:]
    turns = [Turn(Role.USER, "?"), replace(first, learned=False), *others]
    example = ChatTemplate(tokenizer).encode(turns)
    assert said(tokenizer, example) == ["two<|im_end|>"]
    assert "one<|im_end|>" in tokenizer.decode(example.ids)


def test_words_in_angle_brackets_are_no_border(smollm2: Path) -> None:
    """SmolLM2 knows <filename> as a special token, and people write it."""
    turns = [Turn(Role.USER, "how?"), Turn(Role.ASSISTANT, "kubectl apply -f <filename>")]
    tokenizer = FAMILIES["SmolLM2"].tokenizer(smollm2)
    example = ChatTemplate(tokenizer).encode(turns)
    assert said(tokenizer, example) == ["kubectl apply -f <filename><|im_end|>"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (CHATML.replace("'<|im_end|>\\n' }}{% endfor", "'\\n' }}{% endfor"), "never stop"),
        (
            CHATML.replace("message['content']", "(message['content'] if loop.last else '…')"),
            "differently once it goes on",
        ),
        ("{% if messages | length > 2 %}{{ raise_exception('too long') }}{% endif %}" + CHATML, ""),
    ],
    ids=["no end token", "rewrites history", "refuses"],
)
def test_templates_that_cannot_be_followed_are_refused(
    smollm2: Path, template: str, message: str
) -> None:
    tokenizer = FAMILIES["SmolLM2"].tokenizer(smollm2)
    tokenizer.chat_template = template
    with pytest.raises((ConfigurationError, DataError)) as raised:
        ChatTemplate(tokenizer).encode(conversation("one", "two", system=False).turns)
    assert (message or "refuses the messages (user, assistant, user, assistant): too long") in str(
        raised.value
    )


def test_answers_beyond_the_length_are_counted(smollm2: Path, tmp_path: Path) -> None:
    long = "word " * 40
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    cut = [turns[0], turns[1] | {"content": long}]
    lost = [turns[0] | {"content": long}, turns[1]]
    lines = [{"messages": each} for each in (turns, cut, lost, turns)]
    made = workspace(tmp_path, smollm2, lines, training={"maxLength": 48})
    train = load_dataset(made, Workspace(tmp_path), FAMILIES["SmolLM2"].tokenizer(smollm2)).train
    assert [length == 48 for length in train.lengths] == [False, True, False]
    assert (train.truncated, train.dropped, train.duplicates) == (2, 1, 1)
    assert len(train.lengths_before) == 4
    assert train.targets == sum(each.targets for each in train.examples)
