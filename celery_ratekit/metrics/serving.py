"""Serves metrics over HTTP, in plain threads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Metric, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from ..limiter.forks import after_fork
from .forking import unforked

__all__ = ["MetricsServer", "served_registry"]

MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"


def served_registry(*collectors: Collector) -> CollectorRegistry:
    """All that this process counts, and what the collectors tell.

    Where prometheus_client works in its multiprocess mode: what all processes of its directory
    count.
    """
    registry = CollectorRegistry()
    if MULTIPROC_DIR in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it registers itself
    else:
        registry.register(OwnMetrics())
    for collector in collectors:
        registry.register(collector)
    return registry


class OwnMetrics(Collector):
    """The metrics of this process, read while it is not forked."""

    def collect(self) -> Iterable[Metric]:
        with unforked:
            return list(REGISTRY.collect())


class MetricsServer:
    """Serves a registry until it is closed; raises OSError where the port is taken.

    ``port`` 0 stands for any that is free. A forked child does not serve.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._server: Any
        self._server, self._thread = start_http_server(port, host, registry)
        after_fork(self)

    @property
    def port(self) -> int:
        """The port that is served."""
        port: int = self._server.server_port
        return port

    def close(self) -> None:
        """Ends it; a scrape under way may be cut off."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def forget(self) -> None:
        """Lets go of the port in a forked child, which would keep it taken after its parent."""
        self._server.socket.close()
