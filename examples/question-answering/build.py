"""Write questions about notes that a night shift leaves, with their answers.

    python examples/question-answering/build.py FOLDER    # train.jsonl and validation.jsonl

A note says six things in any order, each in one of several ways. Held out are whole notes: their
people, machines, places and numbers are in no note that is learned from, and each question is
asked in a way that was not learned.
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

TRAIN_NOTES, HELD_OUT_NOTES = 120, 15
QUESTIONS_OF_A_NOTE = 4
SEED = 7

NAMES = [
    "Amira Okoye",
    "Jonas Weber",
    "Lucia Ferri",
    "Tomas Novak",
    "Grace Adeyemi",
    "Henrik Dahl",
    "Mei Lin Chua",
    "Omar Haddad",
    "Priya Nair",
    "Sofia Marques",
    "Viktor Petrov",
    "Yuki Tanaka",
    "Elif Kaya",
    "Diego Rojas",
    "Nadia Rahimi",
    "Paul Lambert",
    "Ingrid Solberg",
    "Kwame Mensah",
    "Leila Farouk",
    "Marek Zielinski",
]
MACHINES = [
    "the north press",
    "kiln four",
    "the bottling line",
    "the packing robot",
    "dryer two",
    "the label printer",
    "the cold store",
    "the east conveyor",
    "boiler one",
    "the paint cabin",
    "the laser cutter",
    "mixer seven",
    "the pallet wrapper",
    "the water softener",
    "the old lathe",
    "the loading ramp",
]
CAUSES = [
    "a worn belt",
    "a blocked filter",
    "a loose cable",
    "low oil",
    "a cracked seal",
    "a full drain",
    "a dusty sensor",
    "a bent rail",
    "a burnt fuse",
    "a leaking valve",
    "a jammed gear",
    "a flat tyre",
    "a dead battery",
    "rust",
]
PLACES = [
    "the blue cabinet",
    "the gate house",
    "room 12",
    "the tool wall",
    "the canteen",
    "drawer five",
    "the red box",
    "the foreman's desk",
    "locker 31",
    "the first-aid room",
    "the upper shelf",
    "the van",
]
GOODS = [
    "gloves",
    "sealing tape",
    "hydraulic oil",
    "cardboard",
    "filter bags",
    "fuses",
    "grease",
    "ear plugs",
    "pallets",
    "solvent",
    "copper wire",
    "cleaning rags",
]

FACTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "name": (
        ("{name} was on duty.", "On duty was {name}.", "The shift was led by {name}."),
        (
            "Who was on duty?",
            "Whose shift was it?",
            "Who led the shift?",
            "Which person had the night shift?",
        ),
    ),
    "machine": (
        (
            "At {time} {machine} stopped.",
            "We lost {machine} at {time}.",
            "There was no work with {machine} after {time}.",
        ),
        (
            "Which machine stopped?",
            "What broke down?",
            "What failed during the night?",
            "Which equipment went out of service?",
        ),
    ),
    "time": (
        (),
        (
            "When did it stop?",
            "At what time did the machine fail?",
            "What time was the breakdown?",
            "Since when has the machine stood still?",
        ),
    ),
    "cause": (
        ("The reason was {cause}.", "It turned out to be {cause}.", "We found {cause}."),
        (
            "What was the reason?",
            "Why did the machine stop?",
            "What did the shift find?",
            "What caused the breakdown?",
        ),
    ),
    "place": (
        (
            "The keys are in {place}.",
            "You will find the keys in {place}.",
            "I left the keys in {place}.",
        ),
        (
            "Where are the keys?",
            "In which place are the keys?",
            "Where can I find the keys?",
            "Where did the shift put the keys?",
        ),
    ),
    "goods": (
        ("We are out of {goods}.", "Please order {goods}.", "Somebody has to buy {goods}."),
        (
            "What has to be ordered?",
            "What is missing?",
            "What must somebody buy?",
            "Which supplies have run out?",
        ),
    ),
    "count": (
        ("{count} parts were made.", "The count is {count} parts.", "We finished {count} parts."),
        (
            "How many parts were made?",
            "How many parts did the shift finish?",
            "What is the count of parts?",
            "What number of parts came out?",
        ),
    ),
}
"""What a note may say, and how it is asked for; the last way of asking is held out."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in (
        ("train", examples(held_out=False)),
        ("validation", examples(held_out=True)),
    ):
        written = [json.dumps(line) for line in lines]
        (folder / f"{name}.jsonl").write_text("\n".join(written) + "\n", encoding="utf-8")
        print(f"{name}: {len(written)} questions")


def examples(*, held_out: bool) -> Iterator[dict[str, str]]:
    """Notes, questions and answers, always the same ones."""
    chance = random.Random(f"{SEED}/{held_out}")  # noqa: S311 - no secret
    for _ in range(HELD_OUT_NOTES if held_out else TRAIN_NOTES):
        values = _values(chance, held_out=held_out)
        said = [chance.choice(ways) for ways, _ in FACTS.values() if ways]
        chance.shuffle(said)
        note = " ".join(_sentence(way.format(**values)) for way in said)
        for fact in chance.sample(list(FACTS), QUESTIONS_OF_A_NOTE):
            ways = FACTS[fact][1]
            question = ways[-1] if held_out else chance.choice(ways[:-1])
            yield {"context": note, "question": question, "answer": values[fact]}


def _values(chance: random.Random, *, held_out: bool) -> dict[str, str]:
    def one(of: list[str]) -> str:
        return chance.choice(of[: len(of) // 4] if held_out else of[len(of) // 4 :])

    hour, minute = chance.choice([22, 23, 0, 1, 2, 3, 4, 5]), 2 * chance.randrange(30) + held_out
    return {
        "name": one(NAMES),
        "machine": one(MACHINES),
        "cause": one(CAUSES),
        "place": one(PLACES),
        "goods": one(GOODS),
        "time": f"{hour:02}:{minute:02}",
        "count": str(2 * chance.randrange(60, 900) + held_out),
    }


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


if __name__ == "__main__":
    main()
