"""Runs a dispatcher until its process is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ...errors import BadOptionError, RatekitError
from .dispatcher import Dispatcher
from .listening import Listener
from .outbox import Outbox

__all__ = ["dispatch", "run_dispatcher"]

AFTER_ERROR_SECONDS = 1.0
LONGEST_INTERVAL_SECONDS = 60.0

logger = logging.getLogger(__name__)


def run_dispatcher(throttle: Any, interval: float) -> None:
    """Runs a dispatcher of a throttle; ``interval`` is its longest sleep, seconds.

    Raises BadOptionError for an interval that is none.
    """
    _check(interval)
    with Outbox(throttle.app) as outbox:
        dispatch(throttle, outbox, interval)


def dispatch(throttle: Any, outbox: Outbox, interval: float) -> None:
    """The same through an outbox of the caller's, without a look at the interval."""
    stopping = threading.Event()
    with Listener(throttle) as listener, _stopped_by_signals(stopping, listener):
        dispatcher = throttle.make_dispatcher(outbox)
        try:
            while not stopping.is_set():
                _take_turn(dispatcher, listener, interval)
        finally:
            with suppress(RatekitError):
                dispatcher.end()


def _check(interval: object) -> None:
    is_number = isinstance(interval, (int, float)) and not isinstance(interval, bool)
    if not is_number or not 0 < interval <= LONGEST_INTERVAL_SECONDS:  # type: ignore[operator]  # is one
        raise BadOptionError(
            f"expected an interval of more than 0 and at most {LONGEST_INTERVAL_SECONDS:g} "
            f"seconds, got {interval!r:.40}; it is the longest sleep, 1 is right nearly always"
        )


def _take_turn(dispatcher: Dispatcher, listener: Listener, interval: float) -> None:
    try:
        sleep = dispatcher.turn(interval)
    except Exception as error:  # noqa: BLE001 - a dispatcher goes on, whatever was away
        logger.warning("rate limits: nothing is sent for a moment: %s", error)
        sleep = AFTER_ERROR_SECONDS
    heard = listener.wait(sleep)
    if heard is not None:
        dispatcher.look_soon(heard)


@contextmanager
def _stopped_by_signals(stopping: threading.Event, listener: Listener) -> Iterator[None]:
    """Sets an event on SIGTERM and SIGINT, where signals may be heard: in the main thread."""

    def stop(*_: object) -> None:
        stopping.set()
        listener.wake()

    former: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            former[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
