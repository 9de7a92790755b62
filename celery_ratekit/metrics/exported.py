"""What an exporter serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import Metric
from prometheus_client.registry import Collector

from ..tasks.runtime import runtime_of
from .collector import StateCollector
from .families import Family, family
from .serving import MetricsServer, served_registry
from .state import StateReader

__all__ = ["HELD", "serve"]

HELD = Family("celery_ratekit_held", "Calls that wait in this worker.")


def serve(
    app: Any, host: str, port: int, *, held: Callable[[], int] | None = None
) -> MetricsServer:
    """Serves what this process counts and what Redis knows of an app's limits, until it is closed.

    ``held``: how many calls wait in this worker. Raises OSError where the port is taken.
    """
    settings = runtime_of(app).settings
    collectors: list[Collector] = []
    if settings.redis_url is not None:
        reader = StateReader(app)
        collectors.append(StateCollector(reader.read, settings.metrics_max_limits))
    if held is not None:
        collectors.append(HeldCollector(held))
    return MetricsServer(served_registry(*collectors), host, port)


class HeldCollector(Collector):
    """Asks the worker when it is asked."""

    def __init__(self, held: Callable[[], int]) -> None:
        self._held = held

    def collect(self) -> Iterable[Metric]:
        return [family(HELD, {(): self._held()})]
