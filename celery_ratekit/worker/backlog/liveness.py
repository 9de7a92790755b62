"""Says that this worker lives, for as long as its process does."""

from __future__ import annotations

import threading

from celery.utils.log import get_logger

from ...backlog import Backlog
from ...errors import LimiterUnavailableError

__all__ = ["GONE_AFTER_SECONDS", "Liveness", "bring_back"]

GONE_AFTER_SECONDS = 30.0
"""Silence after which others bring back what a worker has claimed."""

BEAT_SECONDS = 5.0

logger = get_logger(__name__)


class Liveness:
    """Renews one worker's sign of life in a plain thread, which running tasks cannot hold up."""

    def __init__(self, store: Backlog, worker: str) -> None:
        self._store = store
        self._worker = worker
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Gives the first sign, before anything is claimed; raises LimiterUnavailableError."""
        if self._thread is not None:
            return
        self._store.say_alive(self._worker, GONE_AFTER_SECONDS)
        self._thread = threading.Thread(target=self._run, name="ratekit-alive", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Says that the worker is gone."""
        self._ended.set()
        if self._thread is None:
            return
        try:
            self._store.say_gone(self._worker)
        except LimiterUnavailableError as error:
            logger.info("rate limits: %s is taken for alive for a while: %s", self._worker, error)

    def _run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self._store.say_alive(self._worker, GONE_AFTER_SECONDS)
            except Exception as error:  # noqa: BLE001 - the thread has to go on, whatever it was
                logger.warning("rate limits: no sign of life could be given: %s", error)


def bring_back(store: Backlog, queue: str, worker: str) -> None:
    """Gives back what others than ``worker`` have claimed of a queue that do not live any more."""
    others = [one for one in store.claimers(queue) if one != worker]
    lives = store.alive(others) if others else []
    for other, is_alive in zip(others, lives, strict=True):
        if not is_alive:
            count = store.give_back_all(queue, other)
            logger.warning("rate limits: %d tasks that %s had taken wait again", count, other)
