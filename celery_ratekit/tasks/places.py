"""Keeps the places of a running call: extends their lease from a thread, gives them back."""

from __future__ import annotations

import logging
import threading

from ..errors import RatekitError
from ..limiter import Decision, Limiter
from ..limits import Concurrency

__all__ = ["PlaceKeeper"]

logger = logging.getLogger(__name__)

EXTENSIONS_PER_LEASE = 3


class PlaceKeeper:
    """Holds on to the places of a granted call until it is stopped.

    A plain thread extends the lease, since the body may keep the interpreter's main thread, or an
    event loop, for longer than that.
    """

    def __init__(self, limiter: Limiter, decision: Decision) -> None:
        leases = [one.lease_seconds for one in decision.limits if isinstance(one, Concurrency)]
        self._limiter = limiter
        self._decision = decision
        self._interval = min(leases, default=threading.TIMEOUT_MAX) / EXTENSIONS_PER_LEASE
        self._ended = threading.Event()
        if leases and not decision.degraded:
            threading.Thread(target=self._extend, name="ratekit-places", daemon=True).start()

    def stop(self) -> None:
        """Gives the places back; where Redis does not take them they end with their lease."""
        self._ended.set()
        try:
            self._limiter.release(self._decision)
        except RatekitError as error:
            logger.warning("rate limits: places end with their lease only: %s", error)

    def _extend(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                kept = self._limiter.extend(self._decision)
            except RatekitError as error:
                logger.warning("rate limits: a lease could not be extended: %s", error)
                continue
            if not kept and not self._ended.is_set():
                logger.warning("rate limits: a place was lost while its task still runs")
                return
