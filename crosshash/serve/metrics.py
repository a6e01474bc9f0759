"""Figures of a service, in Prometheus's form."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_METHODS = ("GET", "POST", "DELETE", "HEAD")
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of one application; routes and methods are known ones, so that they stay few."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ["route", "method", "status"]
        self._requests = Counter(
            "crosshash_requests", "Requests that were answered", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "crosshash_request_seconds",
            "Time from a request's head to its answer's end",
            ["route"],
            buckets=_BOUNDS,
            registry=self.registry,
        )
        self.reloads = Counter(
            "crosshash_reloads", "Times the index was opened anew", registry=self.registry
        )
        self.items = self._gauge("items", "Items of the index")
        self.held = self._gauge("requests_held", "Requests that are worked on or wait")
        self.working = self._gauge("requests_working", "Requests that have a thread")
        self.ready = self._gauge("ready", "Whether searches are answered")

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"crosshash_{name}", what, registry=self.registry)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Note an answer."""
        known = method if method in _METHODS else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All figures."""
        told: bytes = generate_latest(self.registry)
        return told
