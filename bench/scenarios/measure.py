"""Carry one run out as users do, in processes of its own, and measure it."""

import asyncio
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from bench.scenarios import baselines, outcome
from bench.scenarios.identity import (
    digest_of_code,
    digest_of_folder,
    digest_of_run,
    provenance,
)
from bench.scenarios.job import Inputs, changed
from bench.scenarios.result import Result
from bench.scenarios.table import Run, Scenario
from bench.scenarios.watch import Watch
from finetune_operator.cli.job_file import read_job
from finetune_operator.cli.machine import localize
from finetune_operator.cli.memory import size, this_machine
from finetune_trainer.recipe import Device, Recipe
from finetune_trainer.workspace import Workspace

_Command = tuple[list[str], dict[str, str]]
"""Its arguments, and variables of its own."""


class RunFailed(Exception):  # noqa: N818 - how it ended
    """The training ended with anything but 0: what it said last."""


class Prepared:
    """A run, ready to be carried out in `work`."""

    def __init__(
        self,
        scenario: Scenario,
        run: Run,
        example: Path,
        inputs: Inputs,
        work: Path,
        *,
        base_scores: Path,
    ) -> None:
        """
        Args:
            base_scores: folder for the scores of base models, which are the same in every run of
                a row.
        """
        self.scenario, self.run, self.inputs, self.work = scenario, run, inputs, work
        self.base_scores = base_scores / digest_of_code()
        work.mkdir(parents=True, exist_ok=True)
        job = yaml.safe_load((example / "job.yaml").read_text(encoding="utf-8"))
        self.job = work / "job.yaml"
        made = changed(job, scenario, run, inputs)
        # As JSON, which is YAML too: PyYAML writes "1e-3" so that others read a number.
        self.job.write_text(json.dumps(made, indent=2), encoding="utf-8")
        self.recipe = _recipe(self.job, run)

    @property
    def digest(self) -> str:
        """Of all that decides the numbers."""
        extra = [*self.scenario.baselines, baselines.digest() if self.scenario.baselines else ""]
        return digest_of_run(self.recipe, self.inputs.model, self.inputs.data, extra)


async def measure(prepared: Prepared, threads: int, at_once: int = 1) -> Result:
    """Run it to its end.

    Args:
        threads: of each of its processes.
        at_once: how many runs are measured at the same time.

    Raises:
        RunFailed: its log lies in `work`.
    """
    run, work = prepared.run, prepared.work
    workspace = Workspace(work / "workspace")
    # What an interrupted one has left would make this one shorter.
    shutil.rmtree(workspace.root, ignore_errors=True)
    workspace.root.mkdir(parents=True)
    prepared.base_scores.mkdir(parents=True, exist_ok=True)
    workspace.base_scores.symlink_to(prepared.base_scores.resolve(), target_is_directory=True)
    commands = _commands(prepared, workspace, threads)
    began = time.monotonic()
    watch = await _carry_out(commands, workspace, work)
    seconds = time.monotonic() - began
    steps = watch.steps
    # The baselines train too: another run's end is to be noticed meanwhile.
    quality = await asyncio.to_thread(
        outcome.quality, prepared.scenario, prepared.inputs, workspace
    )
    return Result(
        digest=prepared.digest,
        data=digest_of_folder(prepared.inputs.data),
        provenance=provenance(threads, at_once),
        **quality,
        trained_parameters=outcome.trained_parameters(workspace),
        peak_bytes=[watch.peaks[rank] for rank in sorted(watch.peaks)],
        estimated_bytes=_estimated(prepared),
        seconds=round(seconds, 1),
        steps=steps.count,
        step_seconds=round(steps.seconds, 3),
        step_cpu_seconds=round(steps.cpu_seconds, 3),
        early_step_seconds=None if steps.early_seconds is None else round(steps.early_seconds, 3),
        losses=outcome.losses(workspace) if run.steps else [],
    )


def _recipe(job: Path, run: Run) -> Recipe:
    """What `finetune run` makes of the job; for short runs the processes and nothing held out."""
    recipe = localize(read_job(job), 0).recipe
    if not run.steps:
        return recipe
    content = recipe.model_dump(mode="json")
    content["dataset"] |= {"validation": [], "validationFraction": 0.0}
    content["compute"]["nodes"] = run.processes
    content["distribution"] = {"strategy": run.strategy}
    return Recipe.model_validate(content)


def _estimated(prepared: Prepared) -> int | None:
    if prepared.run.steps:
        return None
    choice = size(localize(read_job(prepared.job), 0), this_machine(Device.CPU)).choice
    return choice.estimate.total if choice else None


def _commands(prepared: Prepared, workspace: Workspace, threads: int) -> list[_Command]:
    """`finetune run`; of short runs the trainer's own command once for each node, as in pods."""
    run = prepared.run
    if not run.steps:
        command = [sys.executable, "-m", "finetune_operator.cli", "run", str(prepared.job)]
        command += ["--workspace", str(workspace.root)]
        return [(command, {"OMP_NUM_THREADS": str(threads)})]
    recipe = workspace.root / "recipe.json"
    recipe.write_text(prepared.recipe.canonical_json(), encoding="utf-8")
    command = [sys.executable, "-m", "finetune_trainer", "train", "--recipe", str(recipe)]
    command += ["--workspace", str(workspace.root)]
    place = {
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": str(threads),
    }
    return [
        (
            command,
            place
            | {
                "PET_NODE_RANK": str(rank),
                "FINETUNE_TERMINATION_LOG": str(prepared.work / f"last-words-{rank}.json"),
            },
        )
        for rank in range(run.processes)
    ]


async def _carry_out(commands: Sequence[_Command], workspace: Workspace, work: Path) -> Watch:
    log = work / "log.txt"
    environment = dict(os.environ) | {"HF_HUB_OFFLINE": "1"}
    started: list[asyncio.subprocess.Process] = []
    with log.open("wb") as output, Watch(workspace.metrics) as watch:
        try:
            for command, own in commands:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    env=environment | own,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                )
                started.append(process)
                watch.started.append(process.pid)
            codes = await asyncio.gather(*(each.wait() for each in started))
        finally:
            # Whatever ends this ends the training that it waits for.
            for each in started:
                if each.returncode is None:
                    each.terminate()
                    await each.wait()
    if any(codes):
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise RunFailed(f"ended with {codes}: {' '.join(last)}")
    return watch


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
