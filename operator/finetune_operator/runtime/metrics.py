"""Metrics of the reconcilers and of the jobs; never a label that a user can make values for.

Names of the former are those of controller-runtime, so that existing dashboards work.
"""

import time

from prometheus_client import Counter, Gauge, Histogram

from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.runtime.controller import Key

RECONCILES = Counter(
    "controller_runtime_reconcile_total", "Reconciliations", ["controller", "result"]
)
RECONCILE_ERRORS = Counter(
    "controller_runtime_reconcile_errors_total", "Reconciliations that failed", ["controller"]
)
RECONCILE_SECONDS = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "How long a reconciliation takes",
    ["controller"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
ACTIVE_WORKERS = Gauge("controller_runtime_active_workers", "Busy workers", ["controller"])
WORKERS = Gauge("controller_runtime_max_concurrent_reconciles", "Workers", ["controller"])

PROGRESS_POSTS = Counter("finetune_progress_posts_total", "Progress posted by trainers", ["code"])
JOBS = Gauge("finetune_jobs", "FineTuneJobs by phase", ["phase"])
PHASE_SECONDS = Histogram(
    "finetune_job_phase_duration_seconds",
    "How long jobs stay in a phase, of those that entered it while this process ran",
    ["phase"],
    buckets=(1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600),
)


class PhaseBoard:
    """Counts jobs by phase, from what the reconciler saw last."""

    def __init__(self) -> None:
        self._phases: dict[Key, tuple[Phase, float | None]] = {}
        for phase in Phase:
            JOBS.labels(phase.value).set(0)

    def saw(self, key: Key, phase: Phase | None) -> None:
        """The job is in this phase now; None: it is no more."""
        now = time.monotonic()
        before, since = self._phases.pop(key, (None, None))
        if before is not None and before is not phase:
            JOBS.labels(before.value).dec()
            if since is not None:
                PHASE_SECONDS.labels(before.value).observe(now - since)
        if phase is None:
            return
        if before is phase:
            self._phases[key] = (phase, since)
            return
        JOBS.labels(phase.value).inc()
        # Of a job first seen in this phase nobody knows how long it has been there.
        self._phases[key] = (phase, now if before is not None else None)
