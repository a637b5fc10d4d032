"""The catalogue of machines and the table of prices: every row usable, and nothing without a
source."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_operator.domain import instances as package
from finetune_operator.domain.instances.catalogue import Instance, instance, instances
from finetune_operator.domain.instances.prices import PriceList, table

FOLDER = Path(package.__file__).parent


def rows(file: str, *parts: str) -> list[Any]:
    document = yaml.safe_load((FOLDER / file).read_text())
    return [each for part in parts for each in document[part]]


@pytest.mark.parametrize(
    "row", rows("catalogue.yaml", "gpus", "instances"), ids=lambda row: row["name"]
)
def test_every_row_of_the_catalogue_has_a_source_and_a_date(row: dict[str, Any]) -> None:
    for each in (row, row.get("measured", row)):
        assert len(each["source"]) > 5
        assert isinstance(each["date"], date)


@pytest.mark.parametrize("found", instances(), ids=lambda found: found.name)
def test_a_machine_is_what_its_name_says(found: Instance) -> None:
    assert instance(found.name) is found
    # Azure's names: family, number of virtual CPUs, features, accelerator, version.
    said = re.match(r"Standard_[A-Z]{2}(\d+)", found.name)
    assert said is not None
    assert found.cpus == int(said.group(1))
    assert found.gpus in (1, 2, 4, 8)
    for word in ("T4", "A10", "A100", "H100", "H200"):
        if f"_{word}_" in found.name:
            assert found.gpu.name.split()[1] == word
    assert found.gpu.fp32_tflops < (found.gpu.bf16_tflops or float("inf"))


def test_an_unknown_machine_is_unknown() -> None:
    assert instance("Standard_NC4as_T4_v4") is None


@pytest.mark.parametrize("row", rows("prices.yaml", "tables"), ids=lambda row: row["region"])
def test_every_table_of_prices_is_dated_and_exact(row: dict[str, Any]) -> None:
    assert re.fullmatch(r"20\d\d-\d\d", row["date"])
    assert len(row["source"]) > 5
    assert row["onDemand"]
    for name, price in row["onDemand"].items():
        assert instance(name) is not None, f"{name} is not in the catalogue"
        assert isinstance(price, str), "a number would not be exact"
        assert Decimal(0) < Decimal(price) < Decimal(1000)


def test_the_table_says_what_it_is() -> None:
    found = table()
    assert found.source == "table 2026-06 eastus"
    assert found.hourly("Standard_NC24ads_A100_v4", spot=False) == Decimal("3.673")
    assert found.hourly("Standard_NC80adis_H100_v5", spot=False) is None


@pytest.mark.parametrize(("currency", "region"), [("EUR", "eastus"), ("USD", "westeurope")])
def test_no_price_is_made_up_for_another_place_or_currency(currency: str, region: str) -> None:
    found = table(currency, region)
    assert (found.currency, found.region) == (currency, region)
    assert found.hourly("Standard_NC24ads_A100_v4", spot=False) is None
    assert region in found.source


def test_spot_costs_at_most_what_on_demand_does() -> None:
    prices = PriceList("USD", "r", "s", {"a": Decimal(4), "b": Decimal(2)}, {"a": Decimal(1)})
    assert prices.hourly("a", spot=True) == 1
    assert prices.hourly("b", spot=True) == 2
    assert prices.hourly("a", spot=False) == 4
