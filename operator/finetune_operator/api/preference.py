"""What is learned from replies that people have judged."""

from typing import Annotated

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, Rules, rules
from finetune_trainer.recipe import PreferenceLoss

FACTOR_PATTERN = r"^[0-9]{1,3}(\.[0-9]{1,6})?$"


def _from_0_to(highest: int, example: str) -> Rules:
    return Rules(
        Rule(
            f"!self.matches(r'{FACTOR_PATTERN}')"
            f" || (double(self) > 0.0 && double(self) <= {highest}.0)",
            f'must be above 0 and at most {highest}, such as "{example}"',
        )
    )


Beta = Annotated[
    str,
    Field(max_length=16),
    Matches(FACTOR_PATTERN, 'must be a number as a string, such as "0.1"'),
    _from_0_to(10, "0.1"),
]

Weight = Annotated[
    str,
    Field(max_length=16),
    Matches(FACTOR_PATTERN, 'must be a number as a string, such as "1.33"'),
    _from_0_to(100, "1.33"),
]


class Preference(ApiModel):
    """How far the model moves towards the replies that are preferred."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *(
                Rule(
                    f"self.loss == 'KTO' || !has(self.{name})",
                    f"{name} is for loss KTO only: remove it, or set loss: KTO",
                    field=f".{name}",
                )
                for name in ("desirableWeight", "undesirableWeight")
            )
        )
    )

    loss: PreferenceLoss = PreferenceLoss.DPO
    """DPO: of two replies to the same prompt the chosen one becomes likelier than the rejected one.
    KTO: each reply was judged alone, desirable or not; pairs are taken as one of each.
    Default: DPO."""
    beta: Beta = "0.1"
    """How closely the model stays to what it starts from, as a string: the larger, the closer.
    Above 0, at most 10. Default: "0.1"."""
    desirable_weight: Weight | None = None
    """KTO: factor of the loss of desirable replies, as a string. KTO's paper sets both so that
    desirable replies weigh 1 to 1.33 times as much as undesirable ones in total. Above 0, at most
    100. Absent: "1"."""
    undesirable_weight: Weight | None = None
    """KTO: factor of the loss of undesirable replies, as a string. Above 0, at most 100.
    Absent: "1"."""
