"""Prometheus metrics; the label `model` takes configured names only."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """What the server counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "finetune_serve_requests",
            "Requests answered, by model and HTTP status",
            ["model", "code"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "finetune_serve_request_seconds",
            "Time from the request to the end of its answer",
            ["model"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.first_token_seconds = Histogram(
            "finetune_serve_first_token_seconds",
            "Time from the request to the first piece of text, waiting included",
            ["model"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.tokens = Counter(
            "finetune_serve_tokens",
            "Tokens read (prompt) and generated (completion)",
            ["model", "kind"],
            registry=self._registry,
        )
        self.pending = Gauge(
            "finetune_serve_pending_requests",
            "Requests that wait or are being answered",
            registry=self._registry,
        )

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
