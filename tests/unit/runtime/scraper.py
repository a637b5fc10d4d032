"""Reading /metrics of this process, as Prometheus does."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
TEAM = {"namespace": "team"}


class Scraper:
    """Reads /metrics, and remembers what was counted before this test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._before = self.samples()

    def text(self) -> str:
        with urllib.request.urlopen(self.url, timeout=5) as answer:  # noqa: S310 - http
            text: str = answer.read().decode()
        return text

    def samples(self) -> Samples:
        return {
            (each.name, frozenset(each.labels.items())): each.value
            for family in text_string_to_metric_families(self.text())
            for each in family.samples
        }

    def counted(self, name: str, **labels: str) -> float:
        """Since the test began."""
        key = name, frozenset((TEAM | labels).items())
        return self.samples().get(key, 0.0) - self._before.get(key, 0.0)

    def now(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, frozenset((TEAM | labels).items())))


@contextmanager
def scraping() -> Iterator[Scraper]:
    """Serves the metrics as the operator does."""
    server, thread = start_http_server(0, addr="127.0.0.1")
    try:
        yield Scraper(f"http://127.0.0.1:{server.server_port}/metrics")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
