"""`finetune run job.yaml`: fetch, check and train on this machine, and go on where it stopped."""

import argparse
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.sources import DataSource, ModelSource
from finetune_operator.cli.job_file import read_job
from finetune_operator.cli.machine import gpus, localize
from finetune_operator.cli.memory import size, this_machine
from finetune_operator.cli.receiver import ProgressReceiver
from finetune_operator.cli.refusals import say
from finetune_operator.cli.shown import Shown
from finetune_operator.cli.trainer import TrainerFailed, TrainerProcess, stopped_by_signals
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.gates import failures
from finetune_trainer.manifest import Checked, CompletionManifest, Trained
from finetune_trainer.workspace import Workspace, write_durably

EXAMPLE = "finetune run examples/chat/job.yaml --workspace runs/chat"

_POLL_SECONDS = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", type=Path, help="a file with one FineTuneJob")
    parser.add_argument(
        "--workspace",
        type=Path,
        help="where inputs, checkpoints and the result lie (default: runs/NAME OF THE JOB)",
    )
    parser.add_argument(
        "--claims",
        type=Path,
        default=Path("claims"),
        help="folder that holds what pvc://CLAIM/PATH names, as CLAIM/PATH (default: %(default)s)",
    )
    parser.add_argument(
        "--secrets",
        type=Path,
        default=Path("secrets"),
        help="folder that holds the Secrets of credentialsSecretRef, as NAME/KEY"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST",
        help="a registry without TLS",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Everything up to the artifact; nothing is pushed or published."""
    job = read_job(arguments.job)
    local = localize(job, gpus())
    sized = size(local, this_machine(local.recipe.compute.device))
    root: Path = (arguments.workspace or Path("runs") / job.metadata.name).resolve()
    root.mkdir(parents=True, exist_ok=True)
    for note in (*local.notes, *sized.notes):
        say(console, "note", note)
    workspace = Workspace(root)
    write_durably(root / "recipe.json", sized.recipe.model_dump_json(indent=2).encode())
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        session = _Session(arguments, job, workspace, Path(scratch), console)
        try:
            session.fetch()
            session.check()
            trained = session.train()
        except TrainerFailed as failed:
            return session.explain(failed)
    _show(trained, workspace, console)
    refused = failures(sized.recipe.evaluation.gates, trained.evaluation)
    for gate in refused:
        say(console, "gate", gate, "bold red")
    return 1 if refused else ExitCode.OK


class _Session:
    """One `finetune run`: the commands of the trainer, one after the other."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        job: FineTuneJob,
        workspace: Workspace,
        scratch: Path,
        console: Console,
    ) -> None:
        self._arguments = arguments
        self._job = job
        self._workspace = workspace
        self._scratch = scratch
        self._console = console
        self._log = workspace.root / "log.txt"
        self._stopped = False

    def fetch(self) -> None:
        """Copy what lies elsewhere; file:// is read where it is."""
        dataset = self._job.spec.dataset
        wanted: list[tuple[str, ModelSource | DataSource]] = [("model", self._job.spec.model)]
        if adapter := self._job.spec.model.adapter():
            wanted.append(("adapter", adapter))
        wanted += [(f"train-{at}", source) for at, source in enumerate(dataset.train)]
        held_out = enumerate(dataset.validation or ())
        wanted += [(f"validation-{at}", source) for at, source in held_out]
        for name, source in wanted:
            if not source.storage_uri.startswith("file://"):
                self._command(
                    f"fetching {source.storage_uri}",
                    ["fetch", *self._fetch_arguments(name, source)],
                    online=True,
                )

    def _fetch_arguments(self, name: str, source: ModelSource | DataSource) -> list[str]:
        given = ["--uri", source.storage_uri, "--destination", f"inputs/{name}"]
        given += ["--workspace", str(self._workspace.root)]
        given += ["--claims", str(self._arguments.claims.resolve())]
        if isinstance(source, ModelSource) and source.revision:
            given += ["--revision", source.revision]
        if source.credentials_secret_ref:
            folder = self._arguments.secrets.resolve() / source.credentials_secret_ref.name
            given += ["--credentials", str(folder)]
        for host in self._arguments.insecure_registry:
            given += ["--insecure-registry", host]
        return given

    def check(self) -> None:
        """Model and data as a whole, before any weight is read."""
        checked = Checked.model_validate_json(
            self._command("checking the model and the data", ["check", *self._recipe_arguments])
        )
        lengths = checked.lengths
        self._console.print(
            f"data  {checked.train_examples} examples of {checked.dataset_format},"
            f" {checked.train_tokens} tokens, {checked.supervised_tokens} of them learned;"
            f" {checked.validation_examples} held out\n"
            f"      length: median {lengths.median}, 90 % up to {lengths.p90},"
            f" longest {lengths.maximum}; {lengths.truncated} cut, {lengths.dropped} left out\n"
            f"plan  {checked.total_steps} steps, {checked.steps_per_epoch} in an epoch"
        )
        if warning := checked.leaks.message:
            say(self._console, "warning", warning)

    def train(self) -> Trained:
        """One attempt, shown while it runs."""
        environment = {each.name: each.value for each in self._job.spec.compute.pod_template.env}
        environment["FINETUNE_ATTEMPT"] = str(_last_attempt(self._workspace) + 1)
        with ProgressReceiver(self._scratch) as receiver, Shown(self._console) as shown:
            process = self._start(
                ["train", *self._recipe_arguments], environment | receiver.environment
            )
            with process, stopped_by_signals(process) as stopping:
                while process.running:
                    posted = receiver.wait(_POLL_SECONDS)
                    if stopping.is_set():
                        self._stopped = True
                        shown.say("saving a checkpoint (Ctrl-C again: do not)")
                    elif posted:
                        shown.advance(posted)
                trained = Trained.model_validate_json(process.result())
            shown.done(trained)
        return trained

    def explain(self, failed: TrainerFailed) -> int:
        """Say what ended it and how to go on; returns the exit code."""
        if self._stopped or failed.exit_code == ExitCode.PREEMPTED:
            step = failed.failure.step
            saved = f"a checkpoint of step {step} is saved" if step else "nothing finished is lost"
            say(self._console, "stopped", f"{saved}; go on with: {shlex.join(self._again())}")
            return ExitCode.PREEMPTED
        say(self._console, failed.failure.reason, failed.failure.message, "bold red")
        say(self._console, "log", str(self._log))
        return failed.exit_code if failed.exit_code > 0 else 1

    def _again(self) -> list[str]:
        given = self._arguments
        command = ["finetune", "run", str(given.job), "--workspace", str(self._workspace.root)]
        for option in ("claims", "secrets"):
            if getattr(given, option) != Path(option):
                command += [f"--{option}", str(getattr(given, option))]
        for host in given.insecure_registry:
            command += ["--insecure-registry", host]
        return command

    @property
    def _recipe_arguments(self) -> list[str]:
        root = self._workspace.root
        return ["--recipe", str(root / "recipe.json"), "--workspace", str(root)]

    def _command(self, what: str, command: list[str], *, online: bool = False) -> bytes:
        """Run a command to its end behind a spinner; without a terminal there is none."""
        if not self._console.is_terminal:
            self._console.print(what, markup=False, soft_wrap=True)
        with self._console.status(what):
            process = self._start(command, {}, online=online)
            with process, stopped_by_signals(process) as stopping:
                try:
                    return process.result()
                finally:
                    self._stopped = stopping.is_set()

    def _start(
        self, command: list[str], environment: Mapping[str, str], *, online: bool = False
    ) -> TrainerProcess:
        return TrainerProcess(
            command, log=self._log, scratch=self._scratch, environment=environment, online=online
        )


def _last_attempt(workspace: Workspace) -> int:
    try:
        return int(workspace.fence.read_text())
    except FileNotFoundError:
        return 0


def _show(trained: Trained, workspace: Workspace, console: Console) -> None:
    if trained.evaluation:
        table = Table("held-out data", "base", "tuned")
        tuned = trained.evaluation.tuned
        for name, value in trained.evaluation.base.items():
            table.add_row(name, value, tuned[name])
        console.print(table)
    completion = CompletionManifest.model_validate_json(workspace.completion.read_bytes())
    result = workspace.output / completion.kind.folder
    say(console, "result", str(result), "green")
    say(console, "report", str(result / "report.html"), "green")
    if completion.divergence is not None:
        text = f"{completion.divergence:.4f} nats a token from what was trained, quantized (KL)"
        say(console, "served", text)
    for made in completion.exports:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in made.figures.items())
        say(console, "export", f"{workspace.output / made.kind.folder} ({figures})", "green")
