"""One page about a FineTuneJob: what it does, why it waits, what to do, and what was before."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus, Plan
from finetune_operator.cli.attempts import Attempt
from finetune_operator.cli.columns import Cell, columns, named
from finetune_operator.cli.happenings import Happening
from finetune_operator.cli.job_state import age, job_age, phase, queue_place, speed, telling
from finetune_operator.cli.jobs import title
from finetune_operator.cli.pods import state, task
from finetune_operator.domain.observed import Pod
from finetune_operator.domain.progress import duration

NOT_LOOKED_AT = "the operator has not looked at it yet"
IS_IT_THERE = (
    "If this lasts, see whether it runs:"
    " kubectl get deployments -A -l app.kubernetes.io/name=finetune-operator"
)


@dataclass(frozen=True, slots=True)
class Known:
    """What was read of a job and of what belongs to it."""

    job: FineTuneJob
    pods: Sequence[Pod]
    attempts: Sequence[Attempt]
    happenings: Sequence[Happening]
    hidden: Sequence[str] = ()
    """What could not be read, and why."""


def describe(known: Known, now: datetime) -> Iterator[Text]:
    """The page, line by line. What is not there yet is left out."""
    job, status = known.job, known.job.status
    yield from named([*_now(job, now), *_facts(job, now)])
    yield from _section("Attempts", _attempts(known, now))
    yield from _section("Pods", _pods(known.pods))
    yield from _section("Evaluation", _evaluation(status))
    yield from _section("Artifacts", _artifacts(status))
    yield from _section("Conditions", _conditions(status, now))
    yield from _section("Events", _events(known.happenings, now))
    for each in known.hidden:
        yield Text.assemble("\n", ("not shown", "yellow"), f"  {each}")


def plan_lines(plan: Plan) -> Iterator[tuple[str, Cell]]:
    """How a job is carried out, as the operator decided it."""
    gpus = f" with {plan.gpus_per_node} GPU(s) each" if plan.gpus_per_node else ""
    yield "Plan", f"{plan.method or 'training'} on {plan.nodes} {plan.device} node(s){gpus}"
    yield "Strategy", plan.strategy.value


def _now(job: FineTuneJob, now: datetime) -> Iterator[tuple[str, Cell]]:
    status = job.status
    yield "Job", f"{title(job)}, {job_age(job, now)} old"
    yield "Phase", phase(status)
    told = telling(status)
    if told is None:
        yield "Now", NOT_LOOKED_AT
        yield "To do", Text(IS_IT_THERE, "bold")
        return
    yield "Now", told.message
    yield "Reason", told.reason + (f", for {age(told.since, now)}" if told.since else "")
    yield "Queue", queue_place(status)
    if told.remedy:
        yield "To do", Text(told.remedy, "bold")
    if (status.observed_generation or 0) < job.metadata.generation:
        yield "Changed", "spec was changed; the operator has not looked at that yet"


def _facts(job: FineTuneJob, now: datetime) -> Iterator[tuple[str, Cell]]:
    status, spec = job.status, job.spec
    yield "Progress", _progress(status, now)
    if status.plan:
        yield from plan_lines(status.plan)
    revision = status.resolved.model_revision if status.resolved else None
    yield "Model", spec.model.storage_uri + (f" at {revision}" if revision else "")
    yield "Task", spec.task.value
    yield "Data", ", ".join(source.storage_uri for source in spec.dataset.train)
    yield "Output", spec.output.storage_uri
    if status.published:
        where = (status.published.revision, status.published.endpoint)
        yield "Published", ", ".join(each for each in where if each)


def _progress(status: FineTuneJobStatus, now: datetime) -> str:
    progress = status.progress
    if progress is None:
        return ""
    parts = [f"step {progress.step} of {progress.total_steps} ({progress.percentage} %)"]
    parts += [f"loss {progress.loss}"] if progress.loss else []
    parts += [f"held-out loss {progress.validation_loss}"] if progress.validation_loss else []
    parts += [f"learning rate {progress.learning_rate}"] if progress.learning_rate else []
    parts += [f"{speed(status)} tokens/s"] if speed(status) else []
    parts += [f"{progress.remaining} left"] if progress.remaining else []
    return f"{', '.join(parts)}; said {age(progress.updated_at, now)} ago"


def _attempts(known: Known, now: datetime) -> Iterator[Text]:
    counted = known.job.status.attempts
    if counted is None or not counted.current:
        return
    limit = known.job.spec.restarts.limit
    yield Text(
        f"  {counted.current} so far; {counted.failures} failed (restarts.limit is {limit}),"
        f" {counted.disruptions} ended for free"
    )
    rows = [
        (
            str(each.number),
            f"{age(each.began, now)} ago" if each.began else "",
            duration(round((each.ended - each.began).total_seconds()))
            if each.began and each.ended
            else "",
            each.end,
        )
        for each in known.attempts
    ]
    yield from columns(["NUMBER", "BEGAN", "TOOK", "END"], rows, indent="  ")


def _pods(pods: Sequence[Pod]) -> Iterator[Text]:
    rows = [(task(pod), pod.name, pod.node, state(pod)) for pod in pods]
    return columns(["TASK", "POD", "NODE", "STATE"], rows, indent="  ")


def _evaluation(status: FineTuneJobStatus) -> Iterator[Text]:
    measured = status.evaluation
    if measured is None:
        return
    rows = [(name, base, measured.tuned.get(name, "")) for name, base in measured.base.items()]
    yield from columns(["METRIC", "BASE", "TUNED"], rows, indent="  ")
    if measured.gates_passed is not None:
        yield Text(f"  {'every gate holds' if measured.gates_passed else 'a gate does not hold'}")


def _artifacts(status: FineTuneJobStatus) -> Iterator[Text]:
    rows = [(each.kind.value, _bytes(each.bytes), each.uri) for each in status.artifacts]
    return columns(["KIND", "SIZE", "URI"], rows, indent="  ")


def _conditions(status: FineTuneJobStatus, now: datetime) -> Iterator[Text]:
    rows = [
        (
            each.type,
            each.status,
            each.reason,
            age(each.last_transition_time, now),
            each.message,
        )
        for each in status.conditions
    ]
    header = ["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]
    return columns(header, rows, indent="  ")


def _events(happenings: Sequence[Happening], now: datetime) -> Iterator[Text]:
    rows: list[Sequence[Cell]] = [
        (
            age(each.last, now) + (f" (x{each.count})" if each.count > 1 else ""),
            Text("Warning", "yellow") if each.warning else "Normal",
            each.reason,
            each.about,
            each.message,
        )
        for each in happenings
    ]
    header = ["AGE", "TYPE", "REASON", "ABOUT", "MESSAGE"]
    return columns(header, rows, indent="  ")


def _section(name: str, lines: Iterable[Text]) -> Iterator[Text]:
    """With its name above it; nothing where there are no lines."""
    for at, line in enumerate(lines):
        if at == 0:
            yield Text()
            yield Text(name, "bold")
        yield line


def _bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
