"""`make bench-trainer`: each contestant in its own process, in turns; medians of the rounds."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from bench.scenarios.identity import digest_of_code
from bench.trainer.contestants import CONTESTANTS
from bench.trainer.conversations import Messages, write_conversations
from bench.trainer.measure import Measured
from bench.trainer.page import page
from bench.trainer.report import Report, begun
from bench.trainer.table import table
from bench.trainer.versions import versions
from finetune_trainer import computing, threads
from finetune_trainer.processors import usable
from finetune_trainer.recipe import Device


def main() -> int:
    """1 where a contestant could not be measured."""
    parser = argparse.ArgumentParser(prog="bench.trainer", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--conversations", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("CPU", "GPU"), default="CPU")
    parser.add_argument("--precision", choices=("FP32", "BF16"), default="FP32")
    parser.add_argument("--max-length", type=int, default=1024, help="of a conversation, tokens")
    parser.add_argument("--row", type=int, default=1280, help="of conversations end to end, tokens")
    parser.add_argument("--only", nargs="*", choices=CONTESTANTS, help="else all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="goes on with what is there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="also write a page for people")
    parser.add_argument(
        "--beside", type=Path, metavar="FILE", help="what was measured in BF16, for the page"
    )
    arguments = parser.parse_args()
    arguments.only = arguments.only or _differing(arguments.precision)
    report = begun(arguments.json, Report(versions=versions(), settings=_settings(arguments)))
    with tempfile.TemporaryDirectory(prefix="bench-trainer-") as folder:
        data = Path(folder) / "conversations.jsonl"
        others = data.with_name("held-out.jsonl")
        write_conversations(data, arguments.conversations, _fits(arguments), others)
        for number in range(arguments.rounds):
            # Another order each round: what the machine does meanwhile hits all alike.
            turn = number % len(arguments.only)
            for name in arguments.only[turn:] + arguments.only[:turn]:
                rounds = number if CONTESTANTS[name].timed else 0
                if name in report.failed or len(report.runs.get(name, ())) > rounds:
                    continue
                work = Path(folder) / f"{number}-{name}"
                work.mkdir()
                try:
                    measured = _run(name, arguments, data, work)
                except subprocess.CalledProcessError as error:
                    report.failed[name] = error.returncode
                    report.write(arguments.json)
                    print(f"{name} ended with {error.returncode}, and is left out", file=sys.stderr)
                    continue
                report.runs.setdefault(name, []).append(measured)
                print(
                    f"round {number + 1}  {name:17} {measured.rate:.3f} conversations/s",
                    file=sys.stderr,
                )
                report.write(arguments.json)
            if (ours := report.runs.get("ours")) and len(report.products) <= number:
                report.products.append(_products(arguments, ours[0]))
                report.write(arguments.json)
    print(table(report.runs, report.products))
    if arguments.page:
        beside = arguments.beside and Report.model_validate_json(arguments.beside.read_bytes())
        arguments.page.write_text(page(report, beside), encoding="utf-8")
    return 1 if report.failed else 0


def _differing(precision: str) -> list[str]:
    """All, but for one that trains in FP32 amid others if they do so, too."""
    return [name for name, each in CONTESTANTS.items() if each.precision != precision]


def _fits(arguments: argparse.Namespace) -> Callable[[Messages], bool]:
    """Whether a conversation is short enough that nobody has to cut it."""
    tokenizer: Any = AutoTokenizer.from_pretrained(arguments.model)

    def fits(messages: Messages) -> bool:
        made = tokenizer.apply_chat_template(messages, return_dict=True)
        longest: int = arguments.max_length
        return len(made["input_ids"]) <= longest

    return fits


def _settings(arguments: argparse.Namespace) -> dict[str, str]:
    """What decides the numbers: not where they are written, nor how many times."""
    aside = ("json", "page", "beside", "rounds", "only", "model")
    given = {name: str(value) for name, value in vars(arguments).items() if name not in aside}
    return given | {"model": arguments.model.name, "code": digest_of_code()}


def _run(name: str, arguments: argparse.Namespace, data: Path, work: Path) -> Measured:
    command = [sys.executable, "-m", "bench.trainer.contestants", name]
    command += ["--model", str(arguments.model), "--data", str(data), "--work", str(work)]
    command += [
        "--device",
        arguments.device,
        "--precision",
        CONTESTANTS[name].precision or arguments.precision,
        "--max-length",
        str(arguments.max_length),
    ]
    command += ["--row", str(arguments.row)]
    return Measured.model_validate_json(_said(command, arguments, CONTESTANTS[name].launched))


def _products(arguments: argparse.Namespace, ours: Measured) -> float:
    """Seconds that the model's own matrix products take for all conversations."""
    supervised = round(arguments.row * (ours.supervised or 0) / ours.tokens)
    command = [sys.executable, "-m", "bench.trainer.products", str(arguments.model)]
    command += [str(arguments.row), str(supervised), arguments.precision, arguments.device]
    seconds = float(_said(command, arguments, launched=True))
    made: float = seconds * ours.tokens / arguments.row
    return made


def _said(command: list[str], arguments: argparse.Namespace, launched: bool) -> str:
    """The last line that it prints, with all cores."""
    ours = threads.environment(usable())
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"OMP_NUM_THREADS": ours["OMP_NUM_THREADS"], "HF_HUB_OFFLINE": "1"}
    if launched:
        environment |= computing.environment(Device(arguments.device), usable())
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
