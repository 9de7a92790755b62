"""Learns at once of what is set at run time, and wakes what waits for it in the backlog."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from celery.utils.log import get_logger

from ...limiter.overrides import View
from ...limiter.overrides.store import names_of_message
from ...limits import Limit
from ...tasks.runtime import Runtime

__all__ = ["OverrideWatch"]

LISTEN_SECONDS = 0.5
"""How long to wait for a message at a time: also how late the end of the worker is noticed."""

LOOK_SECONDS = 10.0
"""How often to look without having been told: a message may be lost."""

PING_SECONDS = 30.0
"""How often to make sure that the other side is there; silence for as long again means that not."""

RETRY_SECONDS = 1.0

AFTER_END_SECONDS = 0.01  # Two clocks are compared.

AGAIN_SECONDS = 0.5
"""When to wake a second time: what was decided just before a change may be parked just after it."""

DECLARE_SECONDS = 10.0
DECLARED_FOR_SECONDS = 30.0
"""How long the rates of a worker that is gone still count."""

MOST_NAMES = 20
"""Names that are woken one by one; where there are more, all lines are."""

Wake = Callable[["Collection[str] | None"], None]
"""Makes lines ready that wait for limits of these names, or all (None), and has them looked at."""

logger = get_logger(__name__)


class OverrideWatch:
    """Keeps the view of one worker's main process fresh, from a plain thread.

    It listens to what is published, looks by itself every ten seconds and each time that it has
    connected anew, and says every ten seconds what this worker's limits are (``declared`` gives
    them). It begins with the first use of the limiter: a worker without limited tasks has none.
    """

    def __init__(
        self, runtime: Runtime, declared: Callable[[], Iterable[Limit]], wake: Wake
    ) -> None:
        self._runtime = runtime
        self._declared = declared
        self._wake = wake
        self._ended = threading.Event()
        self._beginning = threading.Lock()
        self._thread: threading.Thread | None = None
        self._seen: dict[str, frozenset[str]] | None = None
        self._told_of: set[tuple[str, str]] = set()
        self._declare_at = 0.0
        self._again: list[tuple[float, Collection[str] | None]] = []  # whom to wake when

    def begin(self) -> None:
        """Starts listening, once."""
        if self._thread is not None:
            return
        with self._beginning:
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="ratekit-overrides", daemon=True
                )
                self._thread.start()

    def end(self) -> None:
        """Stops listening; the thread ends soon."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - the thread has to go on, whatever it was
                logger.info("rate limits: changes are not heard of for a moment: %s", error)
            self._ended.wait(RETRY_SECONDS)

    def _listen(self) -> None:
        """Listens until the connection is lost without a word; raises where it is lost with one."""
        client: Any = self._runtime.redis
        listener = client.pubsub()
        try:
            listener.subscribe(self._runtime.limiter.overrides.channel)
            heard_at = pinged_at = time.monotonic()
            look_at = heard_at + LOOK_SECONDS
            while not self._ended.is_set():
                message = listener.get_message(timeout=self._listen_seconds())
                now = time.monotonic()
                if message is not None:
                    heard_at = now
                names = self._names_of(message)
                if names != () or now >= look_at:
                    self._look(names)
                    look_at = self._next_look()
                self._wake_again(now)
                if now >= pinged_at + PING_SECONDS:
                    if heard_at < pinged_at:
                        return
                    listener.ping()
                    pinged_at = now
        finally:
            listener.close()

    def _listen_seconds(self) -> float:
        soonest = min((moment for moment, _ in self._again), default=math.inf)
        return max(0.0, min(LISTEN_SECONDS, soonest - time.monotonic()))

    def _names_of(self, message: dict[str, Any] | None) -> Collection[str] | None:
        """What a message asks to be looked after; nothing: ``()``, all: None."""
        kind = None if message is None else message["type"]
        if kind == "message":
            assert message is not None
            return names_of_message(message["data"])
        if kind == "subscribe":
            # Also where redis-py has connected anew: what was published in between is not known.
            return [] if self._seen is None else None
        return ()

    def _next_look(self) -> float:
        """When to look again: also when something ends by itself."""
        ends_at = self._runtime.limiter.override_book.ends_at
        return min(time.monotonic() + LOOK_SECONDS, ends_at + AFTER_END_SECONDS)

    def _look(self, names: Collection[str] | None) -> None:
        """Wakes what waits for limits that were changed, and for these names (None: all).

        No name where something was said and nothing changed: it may be that more waits now.
        """
        is_first = self._seen is None
        self._declare()
        view = self._runtime.limiter.override_book.refresh()
        changed = self._changed(view)
        self._warn(view)
        told_of = None if names is None else changed | {*names}
        if told_of is not None and ("" in told_of or len(told_of) > MOST_NAMES):
            told_of = None
        if told_of is None or told_of:
            self._again.append((time.monotonic() + AGAIN_SECONDS, told_of))
            self._wake(told_of)
        elif names == [] and not is_first:
            self._wake(())

    def _wake_again(self, now: float) -> None:
        due = [woken for moment, woken in self._again if moment <= now]
        self._again = [one for one in self._again if one[0] > now]
        for woken in due:
            self._wake(woken)

    def _changed(self, view: View) -> set[str]:
        """The names of which something else counts now than at the last look."""
        seen, self._seen = self._seen, view.ids_by_name()
        if seen is None:  # Any of them may have been changed while no worker ran.
            return {record.name for record in view.snapshot.records} | self._seen.keys()
        names = seen.keys() | self._seen.keys()
        return {name for name in names if seen.get(name) != self._seen.get(name)}

    def _declare(self) -> None:
        now = time.monotonic()
        if now >= self._declare_at:
            self._runtime.limiter.overrides.declare(self._declared(), DECLARED_FOR_SECONDS)
            self._declare_at = now + DECLARE_SECONDS

    def _warn(self, view: View) -> None:
        for (kind, name), rates in view.disagreements.items():
            if (kind, name) not in self._told_of:
                self._told_of.add((kind, name))
                logger.warning(
                    "rate limits: live workers declare different rates for %r (%s); the lowest "
                    "counts until they agree",
                    name,
                    ", ".join(rates),
                )
