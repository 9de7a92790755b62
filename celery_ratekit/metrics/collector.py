"""Tells Prometheus what Redis knows: read when it is asked, and kept for some seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.registry import Collector

from ..errors import RatekitError
from .families import UP, families, family
from .state import State

__all__ = ["KEPT_SECONDS", "StateCollector"]

KEPT_SECONDS = 5.0
"""For how long what was read is told again: so often Redis is asked, however many scrape."""

logger = logging.getLogger(__name__)


class StateCollector(Collector):
    """Tells what ``read`` gives; where that fails, only that it does.

    ``most``: how many names may be labels. ``clock``: monotonic, seconds.
    """

    def __init__(
        self,
        read: Callable[[], State],
        most: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()  # One reads; who comes meanwhile waits for its answer.
        self._told: list[Metric] = []
        self._read_at = float("-inf")

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if self._clock() - self._read_at >= KEPT_SECONDS:
                self._told = self._found()
                self._read_at = self._clock()
            return list(self._told)

    def _found(self) -> list[Metric]:
        try:
            return [family(UP, {(): 1.0}), *families(self._read(), self._most)]
        except RatekitError as error:
            logger.warning("rate limits: their state could not be read for a scrape: %s", error)
        except Exception:
            # The other metrics are worth having all the same.
            logger.exception("rate limits: their state could not be told")
        return [family(UP, {(): 0.0})]
