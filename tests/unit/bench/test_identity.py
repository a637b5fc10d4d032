"""What makes a measured result stale, and what does not."""

from pathlib import Path

from bench.scenarios.identity import meaning

MODULE = '''"""What it is."""

STEPS = 3
"""Of a run."""


def double(value: int) -> int:
    """Twice."""
    # Because.
    return 2 * value
'''


def written(folder: Path, text: str) -> str:
    path = folder / "module.py"
    path.write_text(text, encoding="utf-8")
    return meaning(path)


def test_words_about_code_decide_nothing(tmp_path: Path) -> None:
    before = written(tmp_path, MODULE)
    assert written(tmp_path, MODULE.replace("Because.", "For no reason.")) == before
    assert written(tmp_path, MODULE.replace("Twice.", "Two times.")) == before
    assert written(tmp_path, MODULE.replace('"""Of a run."""\n', "")) == before


def test_code_does(tmp_path: Path) -> None:
    before = written(tmp_path, MODULE)
    assert written(tmp_path, MODULE.replace("STEPS = 3", "STEPS = 4")) != before
    assert written(tmp_path, MODULE.replace("2 * value", "value * 2")) != before
    assert written(tmp_path, MODULE + 'NAME = "a text that is used"\n') != before
