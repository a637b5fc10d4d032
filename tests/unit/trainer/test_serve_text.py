"""Tokens turned into text while they come."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.serve.text import TextStream


class Bytes:
    """A tokenizer whose tokens are the bytes of UTF-8."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        del skip_special_tokens
        return bytes(token_ids).decode("utf-8", errors="replace")


def stream(text: str, stop: Sequence[str] = ()) -> tuple[list[str], bool]:
    """Every piece that is given out, and whether a stop string ended it."""
    stream = TextStream(Bytes(), stop)
    pieces = []
    for byte in text.encode():
        pieces.append(stream.push(byte))
        if stream.finished:
            break
    return [*pieces, stream.flush()], stream.finished


@given(st.text(max_size=40))
def test_the_pieces_are_the_text(text: str) -> None:
    pieces, finished = stream(text)
    assert "".join(pieces) == text
    assert not finished


@given(
    st.text("ab€", max_size=30),
    st.lists(st.text("ab€", min_size=1, max_size=4), min_size=1, max_size=4),
)
def test_the_pieces_end_before_the_first_stop_string(text: str, stop: list[str]) -> None:
    """The first to be complete ends it; nothing of it is given out, in no piece."""
    pieces, finished = stream(text, stop)
    given_out = "".join(pieces)
    ends = [text.index(each) + len(each) for each in stop if each in text]
    assert finished == bool(ends)
    if not ends:
        assert given_out == text
        return
    until = text[: min(ends)]
    assert given_out == until[: min(until.index(each) for each in stop if each in until)]


def test_a_character_is_given_out_when_it_is_whole() -> None:
    pieces, _ = stream("a€b")
    assert pieces == ["a", "", "", "€", "b", ""]


def test_the_beginning_of_a_stop_string_is_held_back() -> None:
    pieces, _ = stream("ab", ["abc"])
    assert pieces == ["", "", "ab"]


def test_an_empty_stop_string_stops_nothing() -> None:
    assert stream("ab", [""]) == (["a", "b", ""], False)
