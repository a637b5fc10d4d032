"""Metrics of FineTuneJobs; never a label with the name of a job.

They grow by changes of a status that this process has written, once they are written: so of several
replicas one counts, and an operator that is started anew counts nothing again. What there is at a
moment is in runtime/job_board.py.
"""

from prometheus_client import Counter, Histogram

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus, Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.telling import Stage, Told

_MINUTE, _HOUR = 60, 3600
_WAITS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, _HOUR, 3 * _HOUR, 6 * _HOUR, 24 * _HOUR)
_WORK = (60, 300, 900, 1800, _HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 24 * _HOUR, 72 * _HOUR)

FINISHED = Counter(
    "finetune_jobs_finished_total",
    "FineTuneJobs that are over, by phase: Succeeded or Failed",
    ["namespace", "phase"],
)
RESTARTS = Counter(
    "finetune_restarts_total",
    "Attempts that ended without a result and are followed by another, by why they ended",
    ["namespace", "reason"],
)
GPU_SECONDS = Counter(
    "finetune_gpu_seconds_total",
    "GPUs times seconds from the admission of an attempt to its end, counted at its end;"
    " capacity_type is OnDemand or Spot as the provider gave the nodes, else as the job asks",
    ["namespace", "class", "capacity_type"],
)
COST = Counter(
    "finetune_cost_total",
    "What the nodes of FineTuneJobs have cost where their price is known, counted whenever a job's"
    " status.cost is written",
    ["namespace", "class", "currency"],
)
IDLE_COST = Counter(
    "finetune_idle_cost_total",
    "The part of finetune_cost_total that was paid while no attempt was training",
    ["namespace", "class", "currency"],
)
STAGE_SECONDS = {
    Stage.PREPARE: Histogram(
        "finetune_preparing_seconds",
        "From the first pod of a job to model and data fetched and checked",
        ["namespace"],
        buckets=_WAITS,
    ),
    Stage.QUEUE: Histogram(
        "finetune_queue_wait_seconds",
        "From when an attempt could have started (prepared, resumed, or after the attempt before)"
        " until its pods may exist; of the first attempt, until nodes are asked for",
        ["namespace"],
        buckets=_WAITS,
    ),
    Stage.PROVISION: Histogram(
        "finetune_provisioning_seconds",
        "From when nodes are asked for, of later attempts from when their pods may exist, until"
        " every pod has a node",
        ["namespace"],
        buckets=_WAITS,
    ),
    Stage.ATTEMPT: Histogram(
        "finetune_training_seconds",
        "From the admission of an attempt to its end, of attempts that completed the training",
        ["namespace"],
        buckets=_WORK,
    ),
    Stage.PUBLISH: Histogram(
        "finetune_publish_seconds",
        "From the end of training until the result is pushed and published",
        ["namespace"],
        buckets=_WAITS,
    ),
}
"""Of stages that ended well."""
FIRST_STEP = Histogram(
    "finetune_time_to_first_step_seconds",
    "From applying a job, or resuming it, until its first step was reported",
    ["namespace"],
    buckets=_WAITS,
)


_FREQUENT = (Reason.DISRUPTED, Reason.PREEMPTED, Reason.TRAINER_FAILED, Reason.UNAVAILABLE)


def begin(namespace: str) -> None:
    """Makes what is counted in a namespace, at 0: Prometheus sees only the increase of something
    that it has read before."""
    for phase in (Phase.SUCCEEDED, Phase.FAILED):
        FINISHED.labels(namespace, phase.value)
    for reason in _FREQUENT:
        RESTARTS.labels(namespace, reason.value)
    for histogram in (*STAGE_SECONDS.values(), FIRST_STEP):
        histogram.labels(namespace)


def count(job: FineTuneJob, told: Told, currency: str = "") -> None:
    """Counts what a change of a job's status says; to be called once, after it was written.

    Args:
        job: with the status of before, in which the nodes of an attempt are not given back yet.
        currency: of what it has cost; empty where nothing was counted yet.
    """
    namespace = job.metadata.namespace
    if currency:
        # Made at 0 with the first count, before anything was paid.
        paid = namespace, job.spec.class_name, currency
        COST.labels(*paid).inc(float(told.spent))
        IDLE_COST.labels(*paid).inc(float(told.idle))
    for each in told.passed:
        if not each.reason:
            STAGE_SECONDS[each.stage].labels(namespace).observe(each.seconds)
        if each.stage is Stage.ATTEMPT and (gpus := gpus_of(job.status)):
            labels = namespace, job.spec.class_name, capacity_type_of(job)
            GPU_SECONDS.labels(*labels).inc(gpus * each.seconds)
    if told.first_step is not None:
        FIRST_STEP.labels(namespace).observe(told.first_step.total_seconds())
    if told.restarted:
        RESTARTS.labels(namespace, told.restarted).inc()
    if (end := told.finished) is not None:
        failed = end.type == ConditionType.FAILED
        phase = Phase.FAILED if failed else Phase.SUCCEEDED
        FINISHED.labels(namespace, phase.value).inc()


def gpus_of(status: FineTuneJobStatus) -> int:
    """Of all pods of an attempt."""
    some = status.attempts.nodes if status.attempts else None
    return (some or status.plan.nodes) * status.plan.gpus_per_node if status.plan else 0


def capacity_type_of(job: FineTuneJob) -> str:
    """How the nodes are paid for: as the provider gave them, else as the job asks for."""
    given = job.status.nodes.capacity_type if job.status.nodes else None
    return given or job.spec.compute.capacity_type.value
