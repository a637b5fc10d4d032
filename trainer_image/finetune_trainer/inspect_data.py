"""`inspect`: what training sees of a data file, without a recipe and without weights."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from finetune_trainer import processors
from finetune_trainer.base_model import open_base_model
from finetune_trainer.data.dataset import load_dataset
from finetune_trainer.data.formats import formats_for
from finetune_trainer.data.read import find_files, read_files
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.heads import HEADS
from finetune_trainer.manifest import Bin, Inspected, ShownExample
from finetune_trainer.recipe import (
    Checkpoint,
    Columns,
    Compute,
    Dataset,
    DatasetFormat,
    Device,
    JobIdentity,
    Method,
    MethodType,
    Model,
    Precision,
    Preference,
    PreferenceLoss,
    Recipe,
    Schedule,
    Source,
    Task,
    Training,
)
from finetune_trainer.rules import problems
from finetune_trainer.tasks import TASKS
from finetune_trainer.workspace import Workspace

_BINS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="a .jsonl file or a folder")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--task", type=Task, required=True)
    parser.add_argument("--format", type=DatasetFormat, default=DatasetFormat.AUTO)
    parser.add_argument("--column", action="append", default=[], metavar="ROLE=KEY")
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--examples", type=int, default=3, help="how many to show whole")


def run(arguments: argparse.Namespace) -> Inspected:
    """
    Raises:
        ConfigurationError, DataError: as `check` would.
    """
    recipe = _recipe(arguments)
    files = find_files(arguments.data, str(arguments.data))
    read = read_files(
        files, recipe.dataset.wanted_format, formats_for(recipe.task, recipe.dataset.columns)
    )
    if read.format is DatasetFormat.UNPAIRED_PREFERENCE:
        recipe = recipe.model_copy(update={"preference": _preference(PreferenceLoss.KTO)})
    if found := problems(recipe):
        raise ConfigurationError("; ".join(found))
    tokenizer = open_base_model(
        arguments.model, arguments.max_length, HEADS[recipe.task]
    ).tokenizer()
    with TemporaryDirectory() as folder:
        dataset = load_dataset(
            recipe, Workspace(Path(folder)), tokenizer, processes=processors.usable()
        )
    train, task = dataset.train, TASKS[recipe.task]
    seen = Counter(repr(each.record) for each in read.records)
    return Inspected(
        dataset_format=dataset.format.value,
        examples=len(train.examples),
        tokens=sum(train.lengths),
        learned_tokens=train.targets,
        lengths=train.statistics(),
        histogram=histogram(train.lengths_before),
        duplicates=seen.total() - len(seen),
        shown=[
            ShownExample(tokens=example.length, parts=task.show(dataset.tokenizer, example))
            for example in train.examples[: arguments.examples]
        ],
    )


def histogram(lengths: Sequence[int]) -> list[Bin]:
    """Counts in columns of equal width that reach from the shortest to the longest."""
    least = min(lengths)
    width = (max(lengths) - least) // _BINS + 1
    counts = [0] * ((max(lengths) - least) // width + 1)
    for length in lengths:
        counts[(length - least) // width] += 1
    return [
        Bin(up_to=least + (at + 1) * width - 1, examples=count) for at, count in enumerate(counts)
    ]


def _preference(loss: PreferenceLoss) -> Preference:
    return Preference(loss=loss, beta=0.1)


def _recipe(arguments: argparse.Namespace) -> Recipe:
    """Of everything but the data the recipe says what is usual: it decides nothing here."""
    return Recipe(
        job=JobIdentity(namespace="inspect", name="inspect", generation=1),
        model=Model(storage_uri=f"file://{arguments.model}"),
        task=arguments.task,
        dataset=Dataset(
            train=[Source(storage_uri=f"file://{arguments.data}")],
            format=arguments.format,
            columns=Columns.model_validate(dict(each.split("=", 1) for each in arguments.column)),
        ),
        method=Method(type=MethodType.FULL),
        preference=_preference(PreferenceLoss.DPO) if arguments.task is Task.PREFERENCE else None,
        training=Training(
            epochs=1,
            learning_rate=1e-5,
            schedule=Schedule.CONSTANT,
            warmup_steps=0,
            max_length=arguments.max_length,
            packing=False,
            tokens_per_batch=arguments.max_length,
            precision=Precision.FP32,
            seed=0,
        ),
        compute=Compute(device=Device.CPU, nodes=1, gpus_per_node=0),
        checkpoint=Checkpoint(interval_steps=1, interval_seconds=1, keep=1),
    )
