"""Gauges of FineTuneJobs, made from the jobs that there are whenever somebody asks."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.domain import conditions
from finetune_operator.domain.telling import Waiting, held_up, under_way_since, waiting
from finetune_operator.runtime.controller import Key
from finetune_operator.runtime.job_metrics import GPU_SECONDS, begin, capacity_type_of, gpus_of


@dataclass(frozen=True, slots=True)
class Gauge:
    """One of them."""

    name: str
    documentation: str
    labels: tuple[str, ...]


JOBS = Gauge("finetune_jobs", "FineTuneJobs that are in a phase now", ("namespace", "phase"))
WAITING = Gauge(
    "finetune_jobs_waiting",
    "FineTuneJobs that wait for something outside, or were set back, by the reason of Reconciling",
    ("namespace", "reason"),
)
STALLED = Gauge(
    "finetune_jobs_stalled",
    "FineTuneJobs that go on only when a person changes something, by the reason of Stalled;"
    " without those that have failed",
    ("namespace", "reason"),
)
FAILED = Gauge(
    "finetune_jobs_failed",
    "FineTuneJobs in phase Failed, by the reason of that condition, until they are deleted",
    ("namespace", "reason"),
)
LONGEST_WAIT = Gauge(
    "finetune_longest_wait_seconds",
    "How long the FineTuneJob that waits for longest has waited: stage Queue for its turn,"
    " Provision for nodes",
    ("namespace", "stage"),
)
GPUS = Gauge(
    "finetune_gpus",
    "GPUs of the attempts that are under way",
    ("namespace", "class", "capacity_type"),
)
NEAR_BUDGET = Gauge(
    "finetune_jobs_near_budget",
    "FineTuneJobs that have used 80 % or more of what they may cost or how long they may take, and"
    " are not trained yet",
    ("namespace",),
)
TOKENS = Gauge(
    "finetune_tokens_per_second",
    "Tokens in a second that the attempts under way have reported last, all together",
    ("namespace",),
)
GAUGES = (JOBS, WAITING, STALLED, FAILED, LONGEST_WAIT, GPUS, NEAR_BUDGET, TOKENS)
NEAR = 0.8
"""The share of a budget from which people should know."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of a job: no more, since there may be ten thousand."""

    phase: str
    held_up: tuple[ConditionType, str] | None
    failed: str
    waiting: Waiting | None
    under_way_since: datetime | None
    gpus: int
    class_name: str
    capacity_type: str
    tokens_per_second: int
    near_budget: bool


class JobBoard(Collector):
    """Remembers each job as it was seen last."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._jobs: dict[Key, _Seen] = {}
        self._namespaces: set[str] = set()

    def saw(self, key: Key, job: FineTuneJob, budget_used: float | None = None) -> None:
        """The job is like this now, and has used such a share of its budget, if it has one."""
        status = job.status
        self._begin(key.namespace)
        failed = conditions.find(status.conditions, ConditionType.FAILED)
        since = under_way_since(status)
        self._jobs[key] = _Seen(
            phase=(status.phase or Phase.PENDING).value,
            held_up=held_up(status),
            failed=failed.reason if failed and failed.status == "True" else "",
            waiting=waiting(status),
            under_way_since=since,
            gpus=gpus_of(status),
            class_name=job.spec.class_name,
            capacity_type=capacity_type_of(job),
            tokens_per_second=(status.progress.tokens_per_second or 0) if status.progress else 0,
            near_budget=budget_used is not None and budget_used >= NEAR,
        )

        if since is not None and gpus_of(status):
            GPU_SECONDS.labels(key.namespace, job.spec.class_name, capacity_type_of(job))

    def _begin(self, namespace: str) -> None:
        if namespace not in self._namespaces:
            self._namespaces.add(namespace)
            begin(namespace)

    def lost(self, key: Key) -> None:
        """The job is no more. What an attempt of it has used is counted here: no status will ever
        say that it ended."""
        job = self._jobs.pop(key, None)
        if job is not None and job.under_way_since is not None and job.gpus:
            seconds = max(0.0, (self._now() - job.under_way_since).total_seconds())
            labels = key.namespace, job.class_name, job.capacity_type
            GPU_SECONDS.labels(*labels).inc(job.gpus * seconds)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Called from the thread of the HTTP server, which is why the jobs are copied first."""
        now = self._now()
        sums: dict[Gauge, dict[tuple[str, ...], float]] = {
            each: defaultdict(float) for each in GAUGES
        }
        for (namespace, _), job in list(self._jobs.items()):
            sums[JOBS][namespace, job.phase] += 1
            if job.held_up is not None:
                kind, reason = job.held_up
                held = STALLED if kind is ConditionType.STALLED else WAITING
                sums[held][namespace, reason] += 1
            if job.near_budget:
                sums[NEAR_BUDGET][namespace,] += 1
            if job.failed:
                sums[FAILED][namespace, job.failed] += 1
            if job.waiting is not None:
                place = namespace, job.waiting.stage.value
                seconds = (now - job.waiting.since).total_seconds()
                sums[LONGEST_WAIT][place] = max(sums[LONGEST_WAIT][place], seconds)
            if job.under_way_since is not None:
                sums[TOKENS][namespace,] += job.tokens_per_second
                if job.gpus:
                    sums[GPUS][namespace, job.class_name, job.capacity_type] += job.gpus
        for gauge, values in sums.items():
            family = GaugeMetricFamily(gauge.name, gauge.documentation, labels=gauge.labels)
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family
