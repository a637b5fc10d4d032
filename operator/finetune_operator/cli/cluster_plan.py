"""What a job would get in a cluster: machine, memory, price, time and cost, and the limits of a
FineTuneClass. By the functions that the operator plans with, from the table of prices."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Plan
from finetune_operator.api.provisioner import ProvisionerType
from finetune_operator.cli.job_file import NOT_CHECKED, read_class
from finetune_operator.cli.machine import check_device, gpus, invalid, placed
from finetune_operator.cli.refusals import Refused, say
from finetune_operator.domain.instances.catalogue import instance
from finetune_operator.domain.instances.prices import PriceList, table
from finetune_operator.domain.lifecycle.allowed import not_allowed
from finetune_operator.domain.planning import Cluster, plan_of, planned, with_time
from finetune_operator.domain.progress import duration
from finetune_trainer import rules
from finetune_trainer.memory.sizing import gib
from finetune_trainer.recipe import Recipe

ANY = FineTuneClass.model_validate(
    {
        "metadata": {"name": "any"},
        "spec": {
            "images": {"trainer": "any"},
            "provisioner": {
                "type": ProvisionerType.AKS,
                "aks": {
                    "subscriptionId": "00000000-0000-0000-0000-000000000000",
                    "resourceGroup": "any",
                    "cluster": "any",
                },
            },
        },
    }
)
"""In place of a class that is not given: it gets any machine of the catalogue, limiting nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--class",
        dest="class_file",
        type=Path,
        metavar="FILE",
        help="plan for a cluster, with the machines and limits of the FineTuneClass in this file",
    )
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="optimizer steps to estimate time and cost of, where training.maxSteps is not given",
    )


def meant(job: FineTuneJob, arguments: argparse.Namespace) -> bool:
    """Whether a cluster is planned for: with a class, or where this machine has too few GPUs."""
    wants_gpus = job.spec.compute.device.value == "GPU"
    too_few = wants_gpus and job.spec.compute.gpus_per_node > gpus()
    return arguments.class_file is not None or too_few


def plan(job: FineTuneJob, arguments: argparse.Namespace) -> "ClusterPlan":
    """
    Raises:
        Refused: with everything that the operator would refuse.
    """
    check_device(job)
    its_class = read_class(arguments.class_file) if arguments.class_file else ANY
    budget = its_class.spec.budget
    prices = table(budget.currency, budget.region)
    try:
        sized = planned(job, its_class, Cluster(), prices)
    except ValidationError as error:
        raise invalid(error) from error
    problems = [not_allowed(job.spec, its_class), *rules.problems(sized.recipe), sized.refusal]
    if found := [each for each in problems if each]:
        raise Refused(placed(each) for each in found)
    made = plan_of(sized, job.spec.compute, its_class, prices)
    steps = sized.recipe.training.max_steps or arguments.steps
    made = with_time(made, sized.recipe, steps, arguments.tflops)
    return ClusterPlan(job, its_class, sized.recipe, made, prices, sized.unfit, steps)


@dataclass(frozen=True)
class ClusterPlan:
    """What would be asked for and what is known of its cost."""

    job: FineTuneJob
    its_class: FineTuneClass
    recipe: Recipe
    plan: Plan
    prices: PriceList
    unfit: tuple[str, ...]
    steps: int | None

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        spec = self.its_class.spec
        limits = {"allowed": spec.allowed.to_dict(), "budget": spec.budget.to_dict()}
        return {
            "refusals": [],
            "notes": list(self._notes()),
            "recipe": self.recipe.model_dump(mode="json"),
            "recipeDigest": self.recipe.digest(),
            "plan": self.plan.to_dict(),
            "currency": self.prices.currency,
            "budget": self.job.spec.budget.to_dict(),
            "class": None if self.its_class is ANY else {"name": self._class_name, **limits},
        }

    def show(self, console: Console) -> None:
        """For people."""
        shown = Table(show_header=False, box=None)
        for name, value in self._lines():
            shown.add_row(Text(name, "bold"), Text(value))
        console.print(shown, soft_wrap=True)
        for note in (*self._notes(), NOT_CHECKED):
            say(console, "note", note)

    @property
    def _class_name(self) -> str:
        return self.its_class.metadata.name

    def _lines(self) -> Iterator[tuple[str, str]]:
        plan, currency = self.plan, self.prices.currency
        yield "model", self.recipe.model.storage_uri
        yield "method", plan.method or ""
        yield "machine", self._machine()
        if plan.alternatives:
            yield "or else", ", ".join(plan.alternatives)
        gpus_of_each = f", {plan.gpus_per_node} GPU(s) of each" if plan.gpus_per_node else ""
        yield "nodes", f"{plan.nodes}{gpus_of_each}"
        yield "layout", _layout(self.recipe, plan)
        if plan.memory_per_gpu:
            yield "memory", f"at most {plan.memory_per_gpu} of each GPU"
        yield "price", self._price()
        yield "time", self._time()
        if plan.estimated_cost:
            yield "cost", f"{plan.estimated_cost} {currency}"
        yield from self._limits()
        yield "recipe", self.recipe.digest()

    def _machine(self) -> str:
        found = instance(self.plan.instance_type or "")
        if found is None:
            return self.plan.instance_type or "any that the pods fit on"
        gpu = found.gpu
        return f"{found.name}: {found.gpus} × {gpu.name} of {gib(gpu.memory)}"

    def _price(self) -> str:
        if self.plan.hourly_price is None:
            return f"not known: {self.prices.source}"
        return f"{self.plan.hourly_price} {self.prices.currency} an hour ({self.plan.price_source})"

    def _time(self) -> str:
        seconds = self.plan.estimated_duration_seconds
        if seconds is not None:
            return f"{duration(seconds)} for {self.steps} steps, without fetching and loading"
        if self.steps is None:
            return "not estimated: steps are counted when the data are read; or give --steps N"
        return (
            "not estimated: no step like these was measured on such a machine; give --tflops N, if"
            " you know what a GPU of it reaches"
        )

    def _limits(self) -> Iterator[tuple[str, str]]:
        budget, currency = self.job.spec.budget, self.prices.currency
        own = [f"{budget.max_cost} {currency}"] if budget.max_cost else []
        if budget.max_duration_seconds:
            own.append(duration(budget.max_duration_seconds))
        if own:
            yield "budget", ", ".join(own)
        if self.its_class is ANY:
            return
        allowed, money = self.its_class.spec.allowed, self.its_class.spec.budget
        limits = [
            f"machines {', '.join(allowed.instance_types)}" if allowed.instance_types else "",
            f"{allowed.max_nodes} nodes" if allowed.max_nodes else "",
            f"{money.max_cost_per_job} {currency} a job" if money.max_cost_per_job else "",
            f"{money.max_cost_per_namespace_per_month} {currency} a namespace and month"
            if money.max_cost_per_namespace_per_month
            else "",
        ]
        yield f"class {self._class_name}", ", ".join(filter(None, limits)) or "limits nothing"

    def _notes(self) -> Iterator[str]:
        if self.its_class is ANY:
            yield (
                "planned for any machine of the catalogue, because this one has too few GPUs;"
                " --class FILE plans with what a FineTuneClass allows"
            )
        for each in self.unfit:
            yield f"not asked for: {each}"
        limits = {
            "budget.maxCost": self.job.spec.budget.max_cost,
            "the class's budget.maxCostPerJob": self.its_class.spec.budget.max_cost_per_job,
        }
        for field, limit in limits.items():
            cost = self.plan.estimated_cost
            if limit is not None and cost is not None and Decimal(cost) > Decimal(limit):
                yield (
                    f"{cost} {self.prices.currency} are more than {field} {limit}: the job will be"
                    " suspended with a checkpoint before it has spent that"
                )


def _layout(recipe: Recipe, plan: Plan) -> str:
    passes = recipe.compute.passes
    if passes is None:
        return "chosen where it trains, for the machine that it gets"
    again = ", activations computed again" if passes.activation_checkpointing else ""
    return f"{plan.strategy}, {passes.micro_batch} sequence(s) a pass{again}"
