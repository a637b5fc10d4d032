"""Which machines a training fits on, in which order they are asked for, and what it takes there.

Order: those that compute.instanceTypes names, as it names them. Where it names none, those of the
catalogue that the class allows and that leave the fewest GPUs unused, the cheapest work first: the
price of the least time that a step can take there, which is that of its operations at the peak of
the GPUs, but LEAST_SECONDS a pass. A bound, to compare machines by; how long a step does take is
another matter (estimates.py). Then the cheaper hour, the smaller GPU, the name; those without a
price come last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase

from finetune_operator.domain.instances.catalogue import Instance, instance, instances
from finetune_operator.domain.instances.prices import PriceList
from finetune_trainer.memory.architecture import Architecture
from finetune_trainer.memory.choose import SHARE, Choice, choose
from finetune_trainer.memory.estimate import in_bf16, step_flops
from finetune_trainer.memory.sizing import gib, laid_out
from finetune_trainer.recipe import Precision, Recipe

LEAST_SECONDS = 0.25
"""Of a pass: a GPU waits for its kernels to be launched. With LoRA SmolLM2 took that long on an
H100, and Phi-3-mini with 28 times the weights hardly longer; see docs/gpu.md."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job and its class ask of machines."""

    named: tuple[str, ...] = ()
    """In order of preference; empty: the plan chooses."""
    patterns: tuple[str, ...] = ()
    """Of names that the class allows; empty: all."""
    cpus: Decimal = Decimal(0)
    """That each pod asks for."""
    memory: int = 0
    """Bytes of the host's that each pod asks for."""
    priced: bool = False
    """Whether only machines will do whose price is known, because a budget has to be kept."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A recipe and the machines for it."""

    recipe: Recipe
    """Laid out, where every machine lays it out alike; else the trainer does, for what it gets."""
    types: tuple[str, ...] = ()
    """In the order in which they are asked for; empty: any, or none."""
    choice: Choice | None = None
    """What it takes of the first; None where the model or the machine is not known."""
    unfit: tuple[str, ...] = ()
    """Of those that were named, which are not asked for, and why."""
    refusal: str = ""
    """Why none will do, and which one would."""


def size(
    recipe: Recipe,
    architecture: Architecture | None,
    wanted: Wanted,
    prices: PriceList,
    rebuilt: Callable[[int], Recipe],
) -> Sized:
    """Of a recipe that computes on GPUs.

    Args:
        architecture: None where the model is not in the catalogue.
        rebuilt: the recipe with another number of GPUs on each node.
    """
    fits = _Fits(recipe, architecture, wanted, prices)
    if wanted.named:
        reasons = {name: fits.reason(name) for name in wanted.named}
        unfit = tuple(f"{name} {why}" for name, why in reasons.items() if why)
        types = tuple(name for name, why in reasons.items() if not why)
    else:
        unfit = ()
        types = fits.ordered() if architecture else ()
    if not types and (unfit or architecture):
        why = "; ".join(unfit) or fits.nearest()
        return Sized(recipe, unfit=unfit, refusal=f"{why}. {fits.remedy(rebuilt)}")
    first = instance(types[0]) if types else None
    choice = choose(recipe, architecture, first.gpu.machine) if architecture and first else None
    return Sized(fits.laid_out(types), types, choice, unfit)


class _Fits:
    """One recipe against many machines."""

    def __init__(
        self,
        recipe: Recipe,
        architecture: Architecture | None,
        wanted: Wanted,
        prices: PriceList,
    ) -> None:
        self._recipe = recipe
        self._architecture = architecture
        self._wanted = wanted
        self._prices = prices

    def reason(self, name: str) -> str:
        """Why a machine will not do; empty for one that does, or of which nothing is known."""
        if self._wanted.priced and self._hourly(name) is None:
            return (
                f"has no known price in {self._prices.region} ({self._prices.source}), and a"
                " budget of money has to be kept"
            )
        found = instance(name)
        return (self._lacks(found) or self._too_small(found)) if found else ""

    def _lacks(self, machine: Instance) -> str:
        recipe, wanted, gpu = self._recipe, self._wanted, machine.gpu
        if machine.gpus < recipe.compute.gpus_per_node:
            has = f"{machine.gpus} GPU{'s' if machine.gpus > 1 else ''}"
            return f"has {has}, and compute.gpusPerNode is {recipe.compute.gpus_per_node}"
        if recipe.training.precision is Precision.BF16 and gpu.bf16_tflops is None:
            return f"has a GPU ({gpu.name}) without BF16, and training.precision is BF16"
        if machine.cpus < wanted.cpus:
            return f"has {machine.cpus} CPUs, and a pod asks for {wanted.cpus}"
        if machine.memory < wanted.memory:
            return f"has {gib(machine.memory)} of memory, and a pod asks for {gib(wanted.memory)}"
        return ""

    def _too_small(self, machine: Instance) -> str:
        if self._architecture is None:
            return ""
        memory = machine.gpu.memory
        choice = choose(self._recipe, self._architecture, machine.gpu.machine)
        if choice.fits:
            return ""
        return (
            f"has {gib(memory)} per GPU, of which {gib(int(SHARE * memory))} can be planned with,"
            f" and {needs(self._recipe, choice)}"
        )

    def ordered(self) -> tuple[str, ...]:
        """Every machine that will do, of those with the fewest GPUs."""
        found = self._found()
        fewest = min((each.gpus for each in found), default=0)
        best = sorted((each for each in found if each.gpus == fewest), key=self._rank)
        return tuple(each.name for each in best)

    def nearest(self) -> str:
        """Why not even the machine with the largest GPUs will do."""
        allowed = self._allowed()
        if not allowed:
            return "the FineTuneClass allows no machine of the catalogue"
        largest = max(allowed, key=lambda each: (each.gpu.memory, each.gpus))
        return f"{largest.name} {self.reason(largest.name)}"

    def laid_out(self, types: Sequence[str]) -> Recipe:
        """The recipe, laid out if all these machines lay it out alike."""
        machines = [instance(each) for each in types]
        known = [each.gpu.machine for each in machines if each is not None]
        if self._architecture is None or not known or len(known) < len(types):
            return self._recipe
        layouts = {choose(self._recipe, self._architecture, each).layout for each in known}
        if len(layouts) > 1:
            return self._recipe
        made, _ = laid_out(self._recipe, self._architecture, known[0])
        return made

    def remedy(self, rebuilt: Callable[[int], Recipe]) -> str:
        """The smallest machine that would do, perhaps with more of its GPUs."""
        per_node = self._recipe.compute.gpus_per_node
        for gpus in (per_node, *(each for each in (2, 4, 8) if each > per_node)):
            other = self._recipe if gpus == per_node else rebuilt(gpus)
            if other.training.sequences_per_batch % other.compute.world_size:
                continue
            fits = _Fits(other, self._architecture, self._wanted, self._prices)
            found = fits._found()
            if found:
                best = min(found, key=lambda each: (each.gpu.memory, each.gpus, fits._rank(each)))
                more = f" with compute.gpusPerNode {gpus}" if gpus > per_node else ""
                return f"The smallest that fits: {best.name} ({gib(best.gpu.memory)} per GPU){more}"
        return (
            "None of the catalogue that is allowed fits: lower training.maxLength, set"
            " quantization.type NF4, or choose a smaller model"
        )

    def _found(self) -> list[Instance]:
        return [each for each in self._allowed() if not self.reason(each.name)]

    def _allowed(self) -> list[Instance]:
        patterns = self._wanted.patterns or ("*",)
        return [
            each
            for each in instances()
            if any(fnmatchcase(each.name, pattern) for pattern in patterns)
        ]

    def _hourly(self, name: str) -> Decimal | None:
        return self._prices.hourly(name, spot=False)

    def _rank(self, machine: Instance) -> tuple[bool, float, Decimal, int, str]:
        hourly = self._hourly(machine.name)
        price = hourly or Decimal(0)
        work = float(price) * self._least_seconds(machine)
        return (hourly is None, work, price, machine.gpu.memory, machine.name)

    def _least_seconds(self, machine: Instance) -> float:
        """Of a step: no GPU is faster than its peak, and no pass takes less than any was seen to
        take."""
        recipe, gpu, architecture = self._recipe, machine.gpu, self._architecture
        if architecture is None:
            return 1.0
        choice = choose(recipe, architecture, gpu.machine)
        passes = choice.accumulation(recipe)
        peak = gpu.peak(bf16=in_bf16(recipe, gpu.machine)) * 1e12 * recipe.compute.world_size
        return max(step_flops(recipe, architecture, choice.layout) / peak, passes * LEAST_SECONDS)


def needs(recipe: Recipe, choice: Choice) -> str:
    """How much memory, and what it counts on to need no more."""
    layout = choice.layout
    ways = [layout.strategy.value] if recipe.compute.world_size > 1 else []
    ways += ["activations computed again"] if layout.activation_checkpointing else []
    least = f" even with {' and '.join(ways)}" if ways else ""
    return f"{gib(choice.estimate.total)} are needed{least}"
