"""Train: watch the attempt under way, show its progress, and judge its end."""

from datetime import timedelta

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Evaluation, Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain import progress, recipe_builder
from finetune_operator.domain.endings import Ending, Outcome, classify
from finetune_operator.domain.lifecycle import attempts, fewer
from finetune_operator.domain.lifecycle.held import is_held, watched_seconds
from finetune_operator.domain.lifecycle.prepare import last_words
from finetune_operator.domain.lifecycle.provision import nodes_are_there
from finetune_operator.domain.lifecycle.work import Work
from finetune_operator.domain.manifests.train import TRAIN
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import BatchJob, Pod
from finetune_operator.domain.stuck import stuck
from finetune_operator.domain.waiting import explain
from finetune_trainer import manifest
from finetune_trainer.gates import failures

TURN_KEPT_SECONDS = 60
TURN_KEPT_AT_MOST_SECONDS = 600
"""How long a job of several nodes may wait for the last of them while others wait for it. Doubles
with each attempt: where there is room for none, they would pass the turn around all day."""


def train(work: Work) -> bool:
    """Done when the condition Trained says so."""
    if work.holds(ConditionType.TRAINED):
        return True
    number = attempts.under_way(work)
    if number is None:
        return False
    job = attempts.job_of(work, number)
    if number > work.attempts.current:
        some = job.parallelism if job and job.parallelism < work.plan.nodes else None
        numbers = {"current": number, "nodes": some}
        work.update(attempts=work.attempts.model_copy(update=numbers))
    held = job is not None and is_held(work, job)
    if job is not None and job.complete:
        record_trained(work, number)
        return True
    pods = work.seen.pods_of(Role.TRAIN, number)
    if job is None or job.over:
        if attempts.clear(work, pods, f"attempt {number} has ended"):
            attempts.settle(work, number, classify(job, pods))
        return False
    if not held and work.set(ConditionType.ADMITTED, True, Reason.ADMITTED):
        work.event(Reason.ADMITTED, f"attempt {number} starts")
    _watch(work, job, pods)
    return False


def record_trained(work: Work, number: int) -> None:
    """Writes down what rank 0 said; if its pod is gone, publishing will say it again."""
    said = last_words(work.seen.pods_of(Role.TRAIN, number), TRAIN, manifest.Trained)
    work.set(ConditionType.NODES_READY, True, Reason.SCHEDULED)
    work.set(ConditionType.TRAINED, True, Reason.TRAINED)
    ended = progress.ending(said) if said else ""
    work.event(Reason.TRAINED, f"attempt {number} completed the training{ended and f': {ended}'}")
    if said is not None:
        record_evaluation(work, said)


def record_evaluation(work: Work, said: manifest.Trained) -> None:
    """Step and held-out losses, as the trainer measured them at the end."""
    work.set(ConditionType.TRAINED, True, Reason.TRAINED, progress.ending(said))
    shown = progress.at_end(work.status.progress, said, work.now)
    work.update(progress=shown)
    gates = recipe_builder.gates(work.spec.evaluation)
    failed = failures(gates, said.evaluation)
    if said.evaluation is not None:
        base, tuned = said.evaluation.base, said.evaluation.tuned
        passed = not failed if gates else None
        work.update(evaluation=Evaluation(base=base, tuned=tuned, gates_passed=passed))
    if failed:
        work.set(ConditionType.EVALUATED, False, Reason.GATE_FAILED, "; ".join(failed))
    elif said.evaluation is None:
        work.set(ConditionType.EVALUATED, False, Reason.NOTHING_HELD_OUT)
    elif said.evaluation.warning:
        work.set(ConditionType.EVALUATED, True, Reason.HELD_OUT_LEARNED, said.evaluation.warning)
    else:
        work.set(ConditionType.EVALUATED, True, Reason.EVALUATED)


def _watch(work: Work, job: BatchJob, pods: list[Pod]) -> None:
    """The pods of a running attempt: where they are, what holds them up, how far they are."""
    placed = [pod for pod in pods if pod.node]
    all_placed = len(placed) == job.parallelism
    started = [pod for pod in pods if _has_started(pod)]
    if not all_placed and not job.suspended and not fewer.has_enough(work, job):
        nodes_are_there(work)  # of a job that a queue has admitted they are asked for only now
    if work.over:
        return
    found = explain(work.seen, job)
    some = fewer.told(work, job.parallelism)
    if all_placed and some:
        work.set(ConditionType.NODES_READY, True, Reason.FEWER_NODES, f"it trains{some}")
    elif all_placed:
        work.set(ConditionType.NODES_READY, True, Reason.SCHEDULED)
    elif found is not None:
        work.set(ConditionType.NODES_READY, False, found.reason, found.message)
    if found is not None:
        phase = Phase.TRAINING if len(started) == job.parallelism else Phase.QUEUED
        work.goes_on(phase, found.reason, found.message)
    elif len(started) == job.parallelism or any(pod.over for pod in pods):
        work.goes_on(Phase.TRAINING, Reason.TRAINING, f"attempt {job.number} is running{some}")
    else:
        work.goes_on(Phase.QUEUED, Reason.STARTING, f"attempt {job.number} is starting{some}")
    if found is not None or len(started) < job.parallelism:
        work.again(watched_seconds(work, job))
    if not all_placed and fewer.make_room(work, job, pods):
        return
    if not all_placed:
        _give_turn_back(work, job)
    _free_lost_nodes(work, pods)
    _show_progress(work, job)
    _end_what_hangs(work, job)


def _has_started(pod: Pod) -> bool:
    """A container that has ended counts, too: the pod is said to be over a moment later."""
    return any(
        each.running or (each.name == TRAIN and each.exit_code is not None)
        for each in pod.containers
    )


def _give_turn_back(work: Work, job: BatchJob) -> None:
    """Half a job holds nodes that another could use; whoever is next in the line goes first."""
    following = work.seen.line.next_whole if work.seen.line else ""
    if not following or job.created is None:
        return
    kept = min(TURN_KEPT_SECONDS * 2 ** min(job.number - 1, 10), TURN_KEPT_AT_MOST_SECONDS)
    if work.now >= job.created + timedelta(seconds=kept):
        work.actions.append(job.delete())
        work.event(
            Reason.WAITING_FOR_TURN,
            f"attempt {job.number} did not get all of its nodes within {kept} s and"
            f" gives its turn to {following}",
        )


def _free_lost_nodes(work: Work, pods: list[Pod]) -> None:
    """The Job hears of a pod's end only when it has one; a lost node never tells."""
    leaving = [pod for pod in pods if pod.deleted is not None and not pod.over]
    if leaving:
        attempts.clear(work, leaving, "a pod has to leave its node")


def _show_progress(work: Work, job: BatchJob) -> None:
    posted = work.seen.progress
    if posted is None:
        return
    before = work.status.progress
    news = progress.merge(before, posted, job.number, work.now)
    if news is None:
        return
    wait = progress.seconds_until_due(before, work.around.progress_seconds, work.now)
    if wait > 0:
        work.again(wait)
    else:
        work.update(progress=news)


def _end_what_hangs(work: Work, job: BatchJob) -> None:
    posted = work.seen.progress
    if posted is None or posted.attempt != job.number or job.deleting:
        return
    if message := stuck(posted, work.seen.unchanged_seconds):
        work.actions.append(job.delete())
        attempts.settle(work, job.number, Ending(Outcome.FAILED, Reason.STUCK, message))
