"""Looks at what has to be known to count what a job costs, and no more often than it is needed."""

import asyncio
from datetime import datetime
from decimal import Decimal

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Nodes
from finetune_operator.api.provisioner import ProvisionerType
from finetune_operator.cluster.client import Client
from finetune_operator.domain import conditions
from finetune_operator.domain.cost import spent_in_month
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Costs, Pod
from finetune_operator.domain.provisioning import Offer
from finetune_operator.nodes import karpenter
from finetune_operator.nodes.prices import PriceBook


async def look_at_costs(
    client: Client,
    job: FineTuneJob,
    its_class: FineTuneClass | None,
    pods: tuple[Pod, ...],
    book: PriceBook,
    *,
    now: datetime,
) -> Costs:
    """Nothing where nodes are there already: what they cost is not the job's."""
    if its_class is None or its_class.spec.provisioner.type is ProvisionerType.EXISTING:
        return Costs()
    budget = its_class.spec.budget
    prices, month_spent, machine = await asyncio.gather(
        book.prices(budget.currency, budget.region),
        _month_spent(client, job, its_class, now),
        _machine(client, job, its_class, pods),
    )
    return Costs(prices, month_spent, machine)


async def _month_spent(
    client: Client, job: FineTuneJob, its_class: FineTuneClass, now: datetime
) -> Decimal:
    """Of the other jobs of the class in the namespace, where that limits what this one may do."""
    trained = conditions.is_true(job.status.conditions, ConditionType.TRAINED)
    if trained or its_class.spec.budget.max_cost_per_namespace_per_month is None:
        return Decimal(0)
    found = await client.list_objects(FINE_TUNE_JOB, job.metadata.namespace)
    others = (FineTuneJob.from_stored(each) for each in found)
    return spent_in_month(
        (
            each.status.cost
            for each in others
            if each.metadata.uid != job.metadata.uid
            and each.spec.class_name == job.spec.class_name
            and each.status.cost is not None
        ),
        now,
    )


async def _machine(
    client: Client, job: FineTuneJob, its_class: FineTuneClass, pods: tuple[Pod, ...]
) -> Offer | None:
    """What Karpenter has made for the pods, until the status says it."""
    known = job.status.nodes or Nodes()
    running = [each for each in pods if each.role is Role.TRAIN and each.node and not each.over]
    asked = its_class.spec.provisioner.type is ProvisionerType.KARPENTER
    if not asked or not running or known.instance_type is not None:
        return None
    return await karpenter.machine_of(client, running[0].node)
