"""Brings back what dispatchers and workers had claimed that do not live any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from ...backlog import Backlog

__all__ = ["Sweeper"]

SWEEP_SECONDS = 5.0
"""How often to look."""

AFTER_OUTAGE_SECONDS = 15.0
"""How long not to look after an outage, in which nobody could say that it lives."""

logger = logging.getLogger(__name__)


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
            others = [one for one in self._backlog.claimers(target) if one != self._name]
            lives = self._backlog.alive(others) if others else []
            for other, is_alive in zip(others, lives, strict=True):
                if not is_alive:
                    count = self._backlog.give_back_all(target, other)
                    logger.warning("rate limits: %d tasks that %s had wait again", count, other)
