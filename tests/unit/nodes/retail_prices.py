"""A server that speaks as Azure's Retail Prices API is documented to."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Row = dict[str, Any]
FILTER = re.compile(
    r"serviceName eq 'Virtual Machines' and armRegionName eq '(\w+)'"
    r" and armSkuName eq '(\w+)' and priceType eq 'Consumption'"
)


def row(name: str, price: float, **others: Any) -> Row:
    """As in the documentation's examples; of Linux, on demand, unless said otherwise."""
    meter = name.removeprefix("Standard_").replace("_", " ")
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": "westeurope",
        "location": "EU West",
        "effectiveStartDate": "2026-03-01T00:00:00Z",
        "meterId": "000a794b-bdb0-58be-a0cd-0c3a0f222923",
        "meterName": meter,
        "productId": "DZH318Z0BQPS",
        "skuId": "DZH318Z0BQPS/00TG",
        "productName": "Virtual Machines Series",
        "skuName": meter,
        "serviceName": "Virtual Machines",
        "serviceId": "DZH313Z7MMC8",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": name,
    } | others


class RetailPrices:
    """Holds rows, and what to answer instead."""

    def __init__(self, rows: list[Row], page: int = 1000) -> None:
        self.rows = rows
        self.page = page
        self.url = ""
        self.failures: list[int] = []
        """Statuses that the next requests are answered with."""
        self.requests: list[dict[str, str]] = []
        self.answer = ""
        """That every request is answered with, whatever it asks."""
        self.elsewhere = ""
        """Where the next page is said to be, instead of here."""

    async def handle(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.requests.append(query)
        if self.failures:
            return web.Response(status=self.failures.pop(0), text="not now")
        if self.answer:
            return web.Response(text=self.answer)
        chosen = FILTER.fullmatch(query["$filter"])
        assert chosen is not None, f"not a filter of the documentation: {query['$filter']}"
        region, name = chosen.groups()
        found = [
            each
            for each in self.rows
            if (each["armRegionName"], each["armSkuName"]) == (region, name)
            and f"'{each['currencyCode']}'" == query.get("currencyCode", "'USD'")
        ]
        start = int(query.get("$skip", 0))
        rest = found[start + self.page :]
        link = f"{self.elsewhere or self.url}?{request.query_string}"
        link = re.sub(r"&(\$|%24)skip=\d+", "", link) + f"&$skip={start + self.page}"
        return web.json_response(
            {
                "BillingCurrency": "USD",
                "CustomerEntityId": "Default",
                "CustomerEntityType": "Retail",
                "Items": found[start : start + self.page],
                "NextPageLink": link if rest else None,
                "Count": len(found[start : start + self.page]),
            }
        )


@asynccontextmanager
async def served(rows: list[Row], page: int = 1000) -> AsyncIterator[RetailPrices]:
    """On the loopback interface."""
    server = RetailPrices(rows, page)
    application = web.Application()
    application.router.add_get("/api/retail/prices", server.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/retail/prices"
    try:
        yield server
    finally:
        await runner.cleanup()
