"""What a job may cost and how long it may take, and what a class lets its jobs spend."""

from typing import Annotated

from pydantic import Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches

Money = Annotated[
    str,
    Field(max_length=16),
    Matches(
        r"^[0-9]{1,9}([.][0-9]{1,2})?$",
        'must be an amount of money as a string, such as "40.00"',
    ),
]

Currency = Annotated[
    str,
    Field(max_length=16),
    Matches(r"^[A-Z]{3}$", "must be the code of a currency, such as USD"),
]

Region = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Matches(r"^[a-z0-9]+$", "must be a region as Azure names it, such as westeurope"),
]


class Budget(ApiModel):
    """Limits of one job. Where one is reached, a checkpoint is saved, the nodes are given back, and
    the job waits as Suspended with reason BudgetExceeded; raising the limit goes on."""

    max_cost: Money | None = None
    """What its nodes may cost in all, in the currency of the FineTuneClass, such as "40.00"; needs
    machines whose price is known. Absent: what the class allows."""
    max_duration_seconds: Annotated[int, Field(ge=300, le=31_536_000)] | None = None
    """For how many seconds it may hold nodes or train, in all. Waiting for its turn and being
    suspended do not count. Absent: without end."""


class ClassBudget(ApiModel):
    """What jobs of a class may spend on nodes that it gets for them."""

    currency: Currency = "USD"
    """Of all amounts of the class and of its jobs. Default: USD."""
    region: Region = "eastus"
    """Whose prices are used. Default: eastus."""
    max_cost_per_job: Money | None = None
    """What the nodes of one job may cost in all. Absent: no limit."""
    max_cost_per_namespace_per_month: Money | None = None
    """What the nodes of all jobs of this class in a namespace may cost in a month (UTC); a job
    counts in the month in which it last held nodes, until it is deleted. Absent: no limit."""
