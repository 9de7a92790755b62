"""Brings back what dispatchers and workers had claimed that do not live any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ...backlog import Backlog
from ...worker.backlog.liveness import bring_back

__all__ = ["Sweeper"]

SWEEP_SECONDS = 5.0
"""How often to look."""

AFTER_OUTAGE_SECONDS = 15.0
"""How long not to look after an outage, in which nobody could say that it lives."""


class Sweeper:
    """Sweeps for one dispatcher, which is called ``name``."""

    def __init__(
        self, backlog: Backlog, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backlog = backlog
        self._name = name
        self._clock = clock
        self.next_at = float("-inf")

    def put_off(self) -> None:
        """Lets everybody say first that it lives."""
        self.next_at = self._clock() + AFTER_OUTAGE_SECONDS

    def sweep(self, targets: Iterable[str]) -> None:
        """Where it is time to, gives back what the dead had claimed of these backlogs."""
        if self._clock() < self.next_at:
            return
        self.next_at = self._clock() + SWEEP_SECONDS
        for target in targets:
            bring_back(self._backlog, target, self._name)
