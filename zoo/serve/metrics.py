"""Prometheus metrics (https://prometheus.io/docs/practices/naming/)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.use.embedder import Embedder

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts of one server. Labels have few values, whatever clients send.

    Args:
        accepted: number of images in the queue, now.
        buffered: bytes of bodies that are held, now.
    """

    def __init__(self, embedder: Embedder, accepted: Callable[[], float], buffered: Callable[[], float]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, CPU time, open files
        model = Info("zoo_model", "What is served", registry=registry)
        model.info(
            {
                "release": embedder.release,
                "target": embedder.target,
                "precision": embedder.precision,
                "artifact_sha256": embedder.artifact_sha256,
            }
        )
        self._requests = Counter("zoo_requests", "Requests", ("route", "method", "status"), registry=registry)
        self._refused = Counter("zoo_refused", "Requests that were refused, by reason", ("reason",), registry=registry)
        self._seconds = Histogram(
            "zoo_request_seconds", "From head to answer, by route", ("route",), buckets=SECONDS, registry=registry
        )
        self._images = Counter("zoo_images", "Images that were embedded", registry=registry)
        self._batches = Histogram("zoo_batch_images", "Images in a batch", buckets=SIZES, registry=registry)
        self._computing = Histogram(
            "zoo_batch_seconds", "Computing time of a batch", buckets=SECONDS, registry=registry
        )
        queue = Gauge("zoo_queue_images", "Images that were accepted and not answered", registry=registry)
        queue.set_function(accepted)
        Gauge("zoo_buffer_bytes", "Bodies that are held", registry=registry).set_function(buffered)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, reason: str) -> None:
        """Count a request that was refused."""
        self._refused.labels(reason).inc()

    def batch(self, images: int, seconds: float) -> None:
        """Count a batch."""
        self._images.inc(images)
        self._batches.observe(images)
        self._computing.observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """All metrics, and their content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._registry), CONTENT_TYPE_LATEST
