"""Who answers for the workspace's own name."""

import random
from itertools import accumulate

from finetune_trainer.serve.config import ServeConfig


class Traffic:
    """Turns the name a client asks for into the name of the model that answers."""

    def __init__(self, config: ServeConfig, chance: random.Random) -> None:
        self._own_name = config.name
        self._models = config.models
        routes = [(route.revision, route.percent) for route in config.traffic]
        routes = routes or [(config.base_model.name, 100)]
        self._revisions = [revision for revision, _ in routes]
        self._bounds = list(accumulate(percent for _, percent in routes))
        self._chance = chance

    @property
    def names(self) -> list[str]:
        """Every name that a client may ask for, the workspace's own first."""
        return [self._own_name, *self._models]

    def resolve(self, asked: str) -> str | None:
        """The model that answers; None when nobody has this name."""
        if asked != self._own_name:
            return asked if asked in self._models else None
        draw = self._chance.random() * 100
        for revision, bound in zip(self._revisions, self._bounds, strict=True):
            if draw < bound:
                return revision
        raise AssertionError("percentages sum to 100")
