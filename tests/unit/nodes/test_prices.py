"""Prices of today where they can be had, and the table, which says so, where they cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from finetune_operator.cluster import errors
from finetune_operator.domain.instances.catalogue import instances
from finetune_operator.nodes import prices
from finetune_operator.nodes.prices import PriceBook, fetch
from tests.unit.nodes.retail_prices import RetailPrices, Row, row, served

A100, T4 = "Standard_NC24ads_A100_v4", "Standard_NC4as_T4_v3"
NOW = datetime(2026, 11, 27, 22, 0, tzinfo=UTC)
ROWS = [
    row(A100, 4.775),
    row(A100, 1.1937, skuName="NC24ads A100 v4 Spot", meterName="NC24ads A100 v4 Spot"),
    row(
        A100,
        0.955,
        skuName="NC24ads A100 v4 Low Priority",
        meterName="NC24ads A100 v4 Low Priority",
    ),
    row(A100, 9.1, productName="Virtual Machines Series Windows"),
    row(A100, 2.2, type="DevTestConsumption"),
    row(A100, 24_000.0, type="Reservation"),
    row(A100, 0.3, meterName="NC24ads A100 v4 Expired"),
    row(A100, 3.673, armRegionName="eastus"),
    row(A100, 4.4, currencyCode="EUR"),
    row(T4, 0.526),
    row(T4, 0.6, isPrimaryMeterRegion=False),
]


async def ask(server: RetailPrices, currency: str = "USD", region: str = "westeurope") -> Any:
    async with aiohttp.ClientSession() as session:
        return await fetch(session, server.url, currency, region, NOW)


async def test_linux_by_the_hour_on_demand_and_spot() -> None:
    async with served(ROWS) as server:
        found = await ask(server)
        assert found.hourly(A100, spot=False) == Decimal("4.775")
        assert found.hourly(A100, spot=True) == Decimal("1.1937"), "exactly"
        assert found.hourly(T4, spot=True) == Decimal("0.6"), "the highest of several"
        assert found.hourly("Standard_NC40ads_H100_v5", spot=False) is None
        assert found.source == "Retail Prices API 2026-11-27 westeurope"
        assert len(server.requests) == len(instances())
        assert all(each["api-version"] == "2023-01-01-preview" for each in server.requests)
        assert (await ask(server, "EUR")).hourly(A100, spot=False) == Decimal("4.4")


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_every_page_is_read(page: int) -> None:
    async with served(ROWS, page) as server:
        found = await ask(server)
        assert (found.on_demand, found.spot) == (
            {A100: Decimal("4.775"), T4: Decimal("0.6")},
            {A100: Decimal("1.1937")},
        )


async def test_pages_without_end_and_at_other_hosts_are_not_followed() -> None:
    many: list[Row] = [row(T4, 0.5) for _ in range(20)]
    async with served(many, page=1) as server:
        with pytest.raises(errors.RefusedError, match="more than 10 pages"):
            await ask(server)
    async with served(many, page=5) as server:
        server.elsewhere = "http://localhost.example/api"
        with pytest.raises(errors.RefusedError, match="at another host"):
            await ask(server)


@pytest.mark.parametrize(
    ("status", "retried"), [(429, True), (500, True), (503, True), (400, False), (404, False)]
)
async def test_only_what_may_pass_is_tried_again(
    status: int, retried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "FIRST_RETRY_SECONDS", 0.01)
    async with served(ROWS) as server:
        server.failures = [status]
        if retried:
            assert (await ask(server)).on_demand
        else:
            with pytest.raises(errors.ApiError):
                await ask(server)


@pytest.mark.parametrize(
    "answer", ["<html>sign in</html>", "[]", '{"Items": [{"retailPrice": "?"}]}']
)
async def test_what_is_not_documented_is_refused_and_ends_nothing(answer: str) -> None:
    async with served(ROWS) as server, kept_up(server.url, Clock()) as book:
        server.answer = answer
        assert (await book.prices("USD", "eastus")).source == "table 2026-06 eastus"
        with pytest.raises(errors.RefusedError, match="does not answer as documented"):
            await ask(server)


async def test_a_region_that_is_not_known_has_no_prices() -> None:
    async with served(ROWS) as server:
        with pytest.raises(errors.NotFoundError, match="no price of atlantis in USD"):
            await ask(server, region="atlantis")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def kept_up(url: str, clock: Clock) -> AsyncIterator[PriceBook]:
    book = PriceBook(url, lambda: NOW, clock)
    task = asyncio.create_task(book.keep_up())
    try:
        yield book
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_first_job_already_gets_the_prices_of_today() -> None:
    async with served(ROWS) as server, kept_up(server.url, Clock()) as book:
        for _ in range(3):
            found = await book.prices("USD", "westeurope")
            assert found.source == "Retail Prices API 2026-11-27 westeurope"
        assert len(server.requests) == len(instances()), "asked for once"


async def test_the_table_serves_where_the_api_is_not_reachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prices, "CALL_SECONDS", 0.1)
    async with kept_up("http://127.0.0.1:1/api/retail/prices", Clock()) as book:
        found = await book.prices("USD", "eastus")
        assert found.source == "table 2026-06 eastus"
        assert found.hourly(A100, spot=False) == Decimal("3.673")
        assert (await book.prices("USD", "westeurope")).on_demand == {}


async def test_no_job_waits_long_for_an_api_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prices, "FIRST_ANSWER_SECONDS", 0.1)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with kept_up(f"http://127.0.0.1:{port}/", Clock()) as book:
        async with asyncio.timeout(5):
            assert (await book.prices("USD", "eastus")).source == "table 2026-06 eastus"
    silent.close()
    await silent.wait_closed()


async def test_without_an_address_nobody_is_asked() -> None:
    book = PriceBook("", lambda: NOW)
    assert (await book.prices("USD", "eastus")).source == "table 2026-06 eastus"


async def test_prices_are_used_for_a_day_and_kept_when_they_cannot_be_had_again() -> None:
    clock = Clock()
    async with served(ROWS) as server, aiohttp.ClientSession() as session:
        book = PriceBook(server.url, lambda: NOW, clock)
        asked = asyncio.create_task(book.prices("USD", "westeurope"))
        await asyncio.sleep(0)

        async def look_again(seconds: float) -> Decimal | None:
            clock.seconds = seconds
            await book.refresh(session)
            found = await book.prices("USD", "westeurope")
            return found.hourly(T4, spot=False)

        assert await look_again(0) == Decimal("0.6")
        server.rows = [row(T4, 0.7)]
        assert await look_again(prices.FRESH_SECONDS - 1) == Decimal("0.6")
        server.failures = [400]
        assert await look_again(prices.FRESH_SECONDS) == Decimal("0.6"), "yesterday's"
        assert await look_again(prices.FRESH_SECONDS + 1) == Decimal("0.6"), "not at once"
        later = prices.FRESH_SECONDS + prices.AGAIN_SECONDS
        assert await look_again(later) == Decimal("0.7")
        await asked
