"""Looks at everything that belongs to one FineTuneJob: live reads, and no more than needed."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.output import PublishType
from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import NotFoundError
from finetune_operator.domain import conditions, names
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.entrants import is_whole
from finetune_operator.domain.kinds import (
    BATCH_JOB,
    CONFIG_MAP,
    POD,
    SERVICE,
    VOLUME_CLAIM,
    Kind,
)
from finetune_operator.domain.lifecycle.provision import node_request, without_class
from finetune_operator.domain.names import NODES_FINALIZER, Role
from finetune_operator.domain.observed import (
    BatchJob,
    Child,
    Line,
    ModelCache,
    Observed,
    Pod,
)
from finetune_operator.domain.provisioning import EXISTING, NodeRequest, Provision
from finetune_operator.domain.publication import Publication
from finetune_operator.domain.readiness import is_ready
from finetune_operator.domain.views import (
    belongs_to,
    view_batch_job,
    view_child,
    view_model_cache,
    view_pod,
    was_of_a_job,
)
from finetune_operator.publishing import PUBLISHERS
from finetune_operator.runtime.costs import look_at_costs
from finetune_operator.runtime.explanations import (
    held_by_queues,
    last_lines_of,
    lost_nodes,
    notices_of,
)
from finetune_operator.runtime.line import LineBook, takes_turns
from finetune_operator.runtime.tools import Tools
from finetune_trainer.manifest import Progress


@dataclass(frozen=True, slots=True)
class Said:
    """What a trainer has posted."""

    progress: Progress | None
    """The last, since this operator started."""
    unchanged_seconds: float
    """For how long it has said the same."""


async def observe(
    tools: Tools,
    job: FineTuneJob,
    said: Said,
    line_book: LineBook,
    *,
    now: datetime,
    line_anew: bool = False,
    new: bool = False,
) -> Observed:
    """What decide() has to see of this job now.

    Args:
        line_anew: the line, too, is looked at now and not as it was seen a few seconds ago.
        new: nothing was ever made for the job, so nothing of that kind is looked for.

    Raises:
        ApiError: something could not be read; a decision on half the facts would be wrong.
    """
    client, view = tools.client, tools.view
    namespace = job.metadata.namespace
    (children, batch_jobs, pods), its_class = await asyncio.gather(
        _nothing() if new else _made(client, job),
        view.class_named(job.spec.class_name),
    )
    recipe, claim, service = (_own(child, job) for child in children)
    strangers = [child for child in children if child and not belongs_to(child, job.metadata.uid)]
    strangers += [each for each in [*batch_jobs, *pods] if not _is_of(each, job)]
    views_of_jobs = [view_batch_job(each) for each in batch_jobs if _is_of(each, job)]
    own_jobs = tuple(each for each in views_of_jobs if each is not None)
    views_of_pods = [view_pod(each) for each in pods if _is_of(each, job)]
    own_pods = tuple(each for each in views_of_pods if each is not None)
    undecided = not conditions.is_true(job.status.conditions, ConditionType.STARTED)
    claim_wanted = job.spec.checkpoint.volume_claim
    request = node_request(job, own_pods, now)
    notices, held, lost, line, publication = await asyncio.gather(
        notices_of(client, namespace, own_jobs, own_pods, claim),
        held_by_queues(client, namespace, own_jobs),
        lost_nodes(view, own_pods),
        _line(line_book, job, its_class, own_jobs, own_pods, anew=line_anew),
        _publication(client, job),
    )
    provision, last_lines, costs = await asyncio.gather(
        _provision(tools, job, its_class, request),
        last_lines_of(client, job, own_jobs, own_pods),
        look_at_costs(client, job, its_class, own_pods, tools.prices, now=now),
    )
    return Observed(
        finetune_class=its_class,
        recipe=recipe,
        volume_claim=claim,
        service=service,
        batch_jobs=own_jobs,
        pods=own_pods,
        notices=(*notices, *held),
        lost_nodes=lost,
        has_gpu_nodes=undecided
        and job.spec.compute.device.value == "Auto"
        and await view.has_gpu_nodes(),
        gpu_memory=await view.gpu_memory()
        if undecided and job.spec.compute.device.value in ("Auto", "GPU")
        else None,
        storage_is_shared=await view.storage_is_shared(claim_wanted.storage_class_name)
        if undecided and job.spec.compute.nodes > 1
        else None,
        model_cache=await _model_cache(client, job, its_class) if undecided else None,
        line=line,
        progress=said.progress,
        unchanged_seconds=said.unchanged_seconds,
        last_lines=last_lines,
        leaving=tuple(_title(each) for each in strangers if was_of_a_job(each)),
        taken=tuple(_title(each) for each in strangers if not was_of_a_job(each)),
        publication=publication,
        costs=costs,
        nodes_wanted=request.wanted,
        provision=provision,
    )


_Made = tuple[list[JsonObject | None], list[JsonObject], list[JsonObject]]
"""Recipe, volume claim and Service, as far as they are there; Jobs; pods."""


async def _nothing() -> _Made:
    return [None, None, None], [], []


async def _made(client: Client, job: FineTuneJob) -> _Made:
    namespace, selector = job.metadata.namespace, f"{names.JOB}={job.metadata.name}"
    return await asyncio.gather(
        _children(client, job),
        client.list_objects(BATCH_JOB, namespace, labels=selector),
        client.list_objects(POD, namespace, labels=selector),
    )


async def _children(client: Client, job: FineTuneJob) -> list[JsonObject | None]:
    namespace, name = job.metadata.namespace, job.metadata.name

    async def read(kind: Kind, child: str) -> JsonObject | None:
        found = await client.get(kind, namespace, child)
        return {**found, "kind": kind.name} if found else None

    wanted = [
        read(CONFIG_MAP, names.config_map(name)),
        read(VOLUME_CLAIM, names.volume_claim(name)),
    ]
    if job.spec.compute.nodes > 1:
        wanted.append(read(SERVICE, names.service(name)))
    found = await asyncio.gather(*wanted)
    return [*found, None][:3]


async def _model_cache(
    client: Client, job: FineTuneJob, its_class: FineTuneClass | None
) -> ModelCache | None:
    """Of models that are fetched over the network."""
    wanted = its_class.spec.model_cache if its_class else None
    if wanted is None or not job.spec.model.storage_uri.startswith(("hf://", "oci://")):
        return None
    claim = await client.get(VOLUME_CLAIM, job.metadata.namespace, wanted.claim_name)
    return view_model_cache(wanted.claim_name, claim)


def _own(child: JsonObject | None, job: FineTuneJob) -> Child | None:
    return view_child(child) if child and belongs_to(child, job.metadata.uid) else None


def _is_of(child: JsonObject, job: FineTuneJob) -> bool:
    labels = child["metadata"].get("labels", {})
    return bool(labels.get(names.JOB_UID) == job.metadata.uid)


def _title(child: JsonObject) -> str:
    return f"{child.get('kind') or 'object'} {child['metadata']['name']}"


async def _line(
    line_book: LineBook,
    job: FineTuneJob,
    its_class: FineTuneClass | None,
    batch_jobs: tuple[BatchJob, ...],
    pods: tuple[Pod, ...],
    *,
    anew: bool,
) -> Line | None:
    """Read while a job that takes turns waits to start, or for the last of its nodes."""
    status = job.status
    done = any(
        conditions.is_true(status.conditions, kind)
        for kind in (ConditionType.TRAINED, ConditionType.FAILED)
    )
    if done or job.spec.suspend or not takes_turns(job, its_class):
        return Line()
    if not is_ready(status):
        return None  # nobody sees a job in the line before its status says that it is ready
    running = [each for each in batch_jobs if each.role is Role.TRAIN and not each.over]
    if not running:
        return await line_book.line_of(job, anew=anew, wants_to_start=True)
    placed = [pod for pod in pods if pod.role is Role.TRAIN and pod.node]
    if not is_whole(job.spec.compute.nodes, job.metadata.labels) or all(
        len([pod for pod in placed if pod.number == each.number]) == each.parallelism
        for each in running
    ):
        return Line()
    return await line_book.line_of(job, anew=anew, wants_to_start=False)


async def _provision(
    tools: Tools, job: FineTuneJob, its_class: FineTuneClass | None, request: NodeRequest
) -> Provision:
    """What the provisioner makes of what it sees, while nodes are wanted or may be held."""
    held = NODES_FINALIZER in job.metadata.finalizers
    if not request.wanted and not held:
        return EXISTING
    if its_class is None:
        return without_class(job)
    provisioner = tools.provisioners[its_class.spec.provisioner.type]
    return await provisioner.look(tools.client, its_class, request)


async def _publication(client: Client, job: FineTuneJob) -> Publication | None:
    """What the publisher makes of what it sees, once there is something to publish."""
    status = job.status
    over = conditions.is_true(status.conditions, ConditionType.PUBLISHED)
    if not status.artifacts or over or job.spec.publish.type is PublishType.NONE:
        return None
    publisher = PUBLISHERS[job.spec.publish.type]
    reads = publisher.reads(job)

    async def read(kind: Kind, name: str | None) -> tuple[JsonObject, ...] | None:
        fields = f"metadata.name={name}" if name else ""
        try:
            return tuple(await client.list_objects(kind, job.metadata.namespace, fields=fields))
        except NotFoundError:
            return None

    found = await asyncio.gather(*(read(each.kind, each.name) for each in reads))
    return publisher.publish(job, status.artifacts[0], dict(zip(reads, found, strict=True)))
