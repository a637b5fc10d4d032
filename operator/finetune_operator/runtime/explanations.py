"""Reads what tells why a job does not get on: events, queues, lost nodes, a log's last lines."""

import asyncio

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import NotFoundError
from finetune_operator.domain import names
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.endings import telling
from finetune_operator.domain.kinds import EVENT, KUEUE_WORKLOAD
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import BatchJob, Child, Notice, Pod
from finetune_operator.domain.views import view_notices, view_workload
from finetune_operator.runtime.cluster_view import ClusterView

EXPLAINED_PODS = 3
"""Waiting pods whose events are read; the others wait for the same."""


async def notices_of(
    client: Client,
    namespace: str,
    batch_jobs: tuple[BatchJob, ...],
    pods: tuple[Pod, ...],
    claim: Child | None,
) -> tuple[Notice, ...]:
    """Events about what does not get on, and only about that."""
    about: list[str] = []
    for job in batch_jobs:
        own = [pod for pod in pods if (pod.role, pod.number) == (job.role, job.number)]
        if not job.over and not job.suspended and len(own) < job.parallelism:
            about.append(job.uid)
    waiting = [pod for pod in pods if pod.phase == "Pending" and pod.deleted is None]
    about += [pod.uid for pod in waiting[:EXPLAINED_PODS]]
    if waiting and claim is not None and claim.phase == "Pending":
        about.append(claim.uid)
    found = await asyncio.gather(
        *(
            client.list_objects(EVENT, namespace, fields=f"involvedObject.uid={uid}")
            for uid in about
        )
    )
    return view_notices(event for events in found for event in events)


async def held_by_queues(
    client: Client, namespace: str, batch_jobs: tuple[BatchJob, ...]
) -> tuple[Notice, ...]:
    """What Kueue says of the Jobs that it holds."""

    async def read(job: BatchJob) -> list[JsonObject]:
        try:
            labels = f"{names.QUEUED_JOB}={job.uid}"
            return await client.list_objects(KUEUE_WORKLOAD, namespace, labels=labels)
        except NotFoundError:
            return []  # another queue than Kueue, or none: somebody has suspended the Job

    found = await asyncio.gather(*(read(job) for job in batch_jobs if job.suspended))
    views = (view_workload(each) for workloads in found for each in workloads)
    return tuple(view for view in views if view is not None)


async def last_lines_of(
    client: Client, job: FineTuneJob, batch_jobs: tuple[BatchJob, ...], pods: tuple[Pod, ...]
) -> str:
    """Of the attempt that has ended and is not counted yet."""
    known = job.status.attempts
    counted = known.failures + known.disruptions if known else 0
    for each in batch_jobs:
        if each.role is Role.TRAIN and each.number > counted and each.failure is not None:
            found = telling(
                pod for pod in pods if (pod.role, pod.number) == (each.role, each.number)
            )
            if found is not None:
                pod, container = found
                return await client.last_lines(pod.namespace, pod.name, container.name)
    return ""


async def lost_nodes(view: ClusterView, pods: tuple[Pod, ...]) -> frozenset[str]:
    suspects = {
        pod.node
        for pod in pods
        if pod.node and not pod.over and (pod.silent or pod.deleted is not None)
    }
    lost = await asyncio.gather(*(view.is_lost(node) for node in suspects))
    return frozenset(node for node, is_lost in zip(suspects, lost, strict=True) if is_lost)
