"""How much of each source an epoch holds. Pure, and blind to how many processes train."""

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mixture:
    """Sources in proportion to their weights, however many examples each has."""

    sources: Sequence[int]
    """Of each example, the index of its source."""
    weights: Sequence[float]
    """Of each source, above 0; each has an example."""

    def draw(self, seed: int, epoch: int) -> list[int]:
        """The examples of an epoch, as many as there are.

        A source is gone through as often as its share allows; of what is left over, other examples
        are drawn in every epoch.
        """
        drawn: list[int] = []
        for source, count in enumerate(self._counts()):
            members = [index for index, of in enumerate(self.sources) if of == source]
            whole, rest = divmod(count, len(members))
            # random.Random seeded with a string does not depend on the process's hash seed.
            chance = random.Random(f"{seed}/{epoch}/{source}")  # noqa: S311 - no secret
            drawn += members * whole + sorted(chance.sample(members, rest))
        return drawn

    def _counts(self) -> list[int]:
        """Of each source; what rounding leaves goes to the largest remainders."""
        total = sum(self.weights)
        exact = [len(self.sources) * weight / total for weight in self.weights]
        counts = [int(each) for each in exact]
        missing = len(self.sources) - sum(counts)
        by_remainder = sorted(range(len(exact)), key=lambda at: counts[at] - exact[at])
        for at in by_remainder[:missing]:
            counts[at] += 1
        return counts
