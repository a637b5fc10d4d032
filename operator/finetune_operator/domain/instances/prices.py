"""What machines cost an hour: lists of prices, and the dated table that is shipped, prices.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path

import yaml

DEFAULT_CURRENCY = "USD"
DEFAULT_REGION = "eastus"
"""Of the table that is shipped."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices of one region in one currency, of Linux, without reservations or discounts."""

    currency: str
    region: str
    source: str
    """Where they are from, and of when."""
    on_demand: Mapping[str, Decimal] = field(default_factory=dict)
    """Of an hour, by the name of the machine."""
    spot: Mapping[str, Decimal] = field(default_factory=dict)

    def hourly(self, instance_type: str, *, spot: bool) -> Decimal | None:
        """Of one machine; None where it is not known. Spot costs at most what on demand does."""
        price = self.spot.get(instance_type) if spot else None
        return price if price is not None else self.on_demand.get(instance_type)


def table(currency: str = DEFAULT_CURRENCY, region: str = DEFAULT_REGION) -> PriceList:
    """The prices that are shipped; an empty list for another region or currency."""
    nothing = f"no table of {region} in {currency} is shipped"
    return _tables().get((currency, region)) or PriceList(currency, region, nothing)


@cache
def _tables() -> dict[tuple[str, str], PriceList]:
    document = yaml.safe_load((Path(__file__).parent / "prices.yaml").read_text("utf-8"))
    return {
        (each["currency"], each["region"]): PriceList(
            currency=each["currency"],
            region=each["region"],
            source=f"table {each['date']} {each['region']}",
            on_demand={name: Decimal(price) for name, price in each["onDemand"].items()},
        )
        for each in document["tables"]
    }
