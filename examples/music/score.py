"""Let a model write tunes, and count those that can be played and are new.

    python examples/music/score.py --model FOLDER [--adapter FOLDER] --data FOLDER

Each tune begins with meter, unit and key of a held-out one; the rest is the model's. A tune counts
if music21 reads it, it has eight bars or more, all of them but upbeats last as long as the meter
says, and fewer than half of its runs of four bars are of tunes that were learned.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from tunes import HEADER, Known, judge

TUNES = 24
MOST_TOKENS = 256
TEMPERATURE = 0.7
SEED = 1


@dataclass(frozen=True)
class Score:
    """Shares of the tunes."""

    parses: float
    full_bars: float
    """Of all bars between the first and the last of a part; 0 where there are none."""
    playable: float
    new: float
    playable_and_new: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="what build.py has written")
    parser.add_argument("--write", type=Path, help="a file for the tunes")
    given = parser.parse_args()
    train, held_out = (texts(given.data / f"{name}.jsonl") for name in ("train", "validation"))
    written = write(given.model, given.adapter, held_out)
    if given.write:
        given.write.write_text("\n".join(written), encoding="utf-8")
    for name, share in vars(score(written, train)).items():
        print(f"{name.replace('_', ' ')}: {share:.0%}")


def texts(path: Path) -> list[str]:
    """The tunes of a file."""
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def write(model: Path, adapter: Path | None, held_out: list[str]) -> list[str]:
    """A tune for each of the first headers, sampled with one seed."""
    tokenizer: Any = AutoTokenizer.from_pretrained(model, padding_side="left")
    player: Any = AutoModelForCausalLM.from_pretrained(model)
    if adapter:
        player = PeftModel.from_pretrained(player, str(adapter))
    headers = [found.group() for tune in held_out if (found := HEADER.match(tune))][:TUNES]
    prompts = tokenizer(headers, return_tensors="pt", padding=True)
    torch.manual_seed(SEED)
    with torch.no_grad():
        tokens = player.eval().generate(
            **prompts,
            do_sample=True,
            temperature=TEMPERATURE,
            max_new_tokens=MOST_TOKENS,
            pad_token_id=tokenizer.pad_token_id,
        )
    return [str(tokenizer.decode(each, skip_special_tokens=True)) for each in tokens]


def score(written: list[str], train: list[str]) -> Score:
    """How many of the tunes are what was asked for."""
    known = Known(train)
    judged = [judge(tune) for tune in written]
    new = [not known.has(tune) for tune in written]
    bars = sum(each.bars for each in judged)
    both = [each.playable and fresh for each, fresh in zip(judged, new, strict=True)]
    return Score(
        parses=_share([each.parses for each in judged]),
        full_bars=sum(each.full for each in judged) / bars if bars else 0.0,
        playable=_share([each.playable for each in judged]),
        new=_share(new),
        playable_and_new=_share(both),
    )


def _share(yes: list[bool]) -> float:
    return sum(yes) / len(yes)


if __name__ == "__main__":
    main()
