"""Prices of today, from Azure's Retail Prices API where it can be reached; else the table.

Source of names and filters: learn.microsoft.com, Azure Retail Prices overview, api-version
2023-01-01-preview. It needs no credentials, and answers at most 1000 rows at a time.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from finetune_operator.cluster import errors
from finetune_operator.domain.instances.catalogue import instances
from finetune_operator.domain.instances.prices import PriceList, table

RETAIL_PRICES_URL = "https://prices.azure.com/api/retail/prices"
API_VERSION = "2023-01-01-preview"
FRESH_SECONDS = 86_400.0
"""How long prices are used before they are asked for again."""
AGAIN_SECONDS = 600.0
"""After a failure."""
FIRST_ANSWER_SECONDS = 15.0
"""How long a job waits for the first prices ever; then it is planned with the table."""
CALL_SECONDS = 12.0
"""Deadline of one page, its retries included."""
ATTEMPT_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.5
PAGES = 10
"""Of one machine, at most: there are some dozen rows of each."""

_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Currency and region."""


class PriceBook:
    """The newest prices that are known; one for all jobs."""

    def __init__(
        self,
        url: str,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            url: of the API; empty: the table is all there is.
        """
        self._url = url
        self._now = now
        self._clock = clock
        self._lists: dict[Key, PriceList] = {}
        self._due: dict[Key, float] = {}
        """When each list is to be fetched, by the clock."""
        self._tried: dict[Key, asyncio.Event] = {}
        self._news = asyncio.Event()

    async def prices(self, currency: str, region: str) -> PriceList:
        """Of every machine of the catalogue that has one, and where they are from."""
        key = (currency, region)
        if self._url and key not in self._tried:
            self._tried[key] = asyncio.Event()
            self._due[key] = self._clock()
            self._news.set()
        if self._url:
            try:
                await asyncio.wait_for(self._tried[key].wait(), FIRST_ANSWER_SECONDS)
            except TimeoutError:
                # It goes on trying; this job does not wait for it.
                self._tried[key].set()
        return self._lists.get(key) or table(currency, region)

    async def keep_up(self) -> None:
        """Fetches what was asked for, and again when it is old. Runs for ever."""
        while True:
            self._news.clear()
            async with aiohttp.ClientSession(trust_env=True) as session:
                await self.refresh(session)
            wait = min((due - self._clock() for due in self._due.values()), default=FRESH_SECONDS)
            try:
                await asyncio.wait_for(self._news.wait(), max(0.0, wait))
            except TimeoutError:
                continue

    async def refresh(self, session: aiohttp.ClientSession) -> None:
        """Fetches every list that is due."""
        for key, due in list(self._due.items()):
            if due <= self._clock():
                await self._fetch(session, key)

    async def _fetch(self, session: aiohttp.ClientSession, key: Key) -> None:
        currency, region = key
        after = FRESH_SECONDS
        try:
            self._lists[key] = await fetch(session, self._url, currency, region, self._now())
        except errors.ApiError as error:
            after = AGAIN_SECONDS
            _log.warning("prices of %s in %s: %s", region, currency, error)
        self._due[key] = self._clock() + after
        self._tried[key].set()


async def fetch(
    session: aiohttp.ClientSession, url: str, currency: str, region: str, now: datetime
) -> PriceList:
    """Today's prices of the machines of the catalogue.

    Raises:
        ApiError: the API does not answer, refuses, or knows none of them.
    """
    on_demand: dict[str, Decimal] = {}
    spot: dict[str, Decimal] = {}
    for each in instances():
        rows = await _rows(session, url, currency, region, each.name)
        for row in rows:
            if row.is_of(currency, region, each.name):
                prices = spot if row.sku_name.endswith(" Spot") else on_demand
                # Where there are several, a budget is kept with the highest.
                prices[each.name] = max(row.retail_price, prices.get(each.name, Decimal(0)))
    if not on_demand:
        raise errors.NotFoundError(f"{url} knows no price of {region} in {currency}")
    source = f"Retail Prices API {now:%Y-%m-%d} {region}"
    return PriceList(currency, region, source, on_demand, spot)


class _Row(BaseModel):
    """One price, as far as it is looked at."""

    model_config = ConfigDict(alias_generator=to_camel)

    retail_price: Decimal
    currency_code: str = ""
    arm_region_name: str = ""
    arm_sku_name: str = ""
    product_name: str = ""
    sku_name: str = ""
    meter_name: str = ""
    unit_of_measure: str = ""
    type: str = ""

    def is_of(self, currency: str, region: str, name: str) -> bool:
        """Whether it is what an hour of Linux costs: neither a reservation nor for development
        tests, and not the former kind of spot."""
        said = (self.currency_code, self.arm_region_name, self.arm_sku_name)
        return (
            said == (currency, region, name)
            and (self.type, self.unit_of_measure) == ("Consumption", "1 Hour")
            and not self.product_name.endswith(" Windows")
            and not self.meter_name.endswith((" Low Priority", " Expired"))
        )


class _Page(BaseModel):
    items: list[_Row] = Field(alias="Items")
    next_page_link: str | None = Field(default=None, alias="NextPageLink")


async def _rows(
    session: aiohttp.ClientSession, url: str, currency: str, region: str, name: str
) -> list[_Row]:
    """Every row of one machine, page by page."""
    chosen = (
        f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}'"
        f" and armSkuName eq '{name}' and priceType eq 'Consumption'"
    )
    query = {"api-version": API_VERSION, "currencyCode": f"'{currency}'", "$filter": chosen}
    page = await _get(session, url, query)
    found = list(page.items)
    for _ in range(PAGES):
        link = page.next_page_link
        if not link:
            return found
        if urlsplit(link).hostname != urlsplit(url).hostname:
            raise errors.RefusedError(f"{url} goes on at another host: {link}")
        page = await _get(session, link, {})
        found += page.items
    raise errors.RefusedError(f"{url} has more than {PAGES} pages of {name}")


async def _get(session: aiohttp.ClientSession, url: str, query: dict[str, str]) -> _Page:
    deadline = time.monotonic() + CALL_SECONDS
    delay = FIRST_RETRY_SECONDS
    while True:
        try:
            return await _attempt(session, url, query)
        except errors.ApiError as error:
            pause = error.retry_after or delay * (0.5 + random.random() / 2)  # noqa: S311
            if not error.retriable or time.monotonic() + pause >= deadline:
                raise
        await asyncio.sleep(pause)
        delay *= 2


async def _attempt(session: aiohttp.ClientSession, url: str, query: dict[str, str]) -> _Page:
    limit = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS)
    try:
        async with session.get(url, params=query, timeout=limit) as response:
            text = await response.text()
            if response.status >= 400:
                wait = response.headers.get("Retry-After", "")
                retry_after = float(wait) if wait.isdigit() else None
                raise errors.from_status(response.status, text[:500], retry_after)
        return _Page.model_validate_json(text)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise errors.UnavailableError(f"{url}: {str(error) or type(error).__name__}") from error
    except ValueError as error:
        raise errors.RefusedError(f"{url} does not answer as documented: {text[:100]}") from error
