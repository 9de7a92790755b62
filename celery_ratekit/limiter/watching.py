"""Tells watchers how long each round trip to Redis took, and what failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import (
    AskError,
    MovedError,
    NoScriptError,
    ResponseError,
    TryAgainError,
)

from ..errors import LimiterUnavailableError
from .connection import HeldConnections
from .scripts import Script

__all__ = ["WatchedConnections", "Watcher", "unwatch_round_trips", "watch_round_trips"]

Watcher = Callable[[float, int], None]
"""Called after each round trip with its seconds, and with how many of its questions failed."""

SENT_ON = (AskError, MovedError, NoScriptError, TryAgainError)
"""What a server says so that it is asked in another way: no failures."""

SENT_ON_CODES = ("ASK", "MOVED", "NOSCRIPT", "TRYAGAIN")  # as redis-py before 6 leaves them

logger = logging.getLogger(__name__)

_watchers: list[Watcher] = []


def watch_round_trips(watcher: Watcher) -> None:
    """Has ``watcher`` called after each round trip of this process, in the thread that asked.

    What it raises is logged and changes nothing. A second time is harmless.
    """
    if watcher not in _watchers:
        _watchers.append(watcher)


def unwatch_round_trips(watcher: Watcher) -> None:
    """Has ``watcher`` not called any more."""
    if watcher in _watchers:
        _watchers.remove(watcher)


class WatchedConnections(HeldConnections):
    """Held connections whose round trips are told of, where somebody watches."""

    def ask(self, command: bytes, script: Script | None = None) -> Any:
        if not _watchers:
            return super().ask(command, script)
        return _timed(lambda: HeldConnections.ask(self, command, script))

    def ask_migrating(self, command: bytes, script: Script | None = None) -> Any:
        if not _watchers:
            return super().ask_migrating(command, script)
        return _timed(lambda: HeldConnections.ask_migrating(self, command, script))

    def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        if not _watchers:
            return super().exchange(commands)
        begun = time.perf_counter()
        answers = super().exchange(commands)
        _tell(time.perf_counter() - begun, sum(map(_is_failure, answers)))
        return answers


def _timed(ask: Callable[[], Any]) -> Any:
    begun = time.perf_counter()
    failures = 0
    try:
        return ask()
    except (LimiterUnavailableError, ResponseError) as error:
        failures = int(_is_failure(error))
        raise
    finally:
        _tell(time.perf_counter() - begun, failures)


def _is_failure(answer: object) -> bool:
    if isinstance(answer, ResponseError):
        code = str(answer).partition(" ")[0]
        return not isinstance(answer, SENT_ON) and code not in SENT_ON_CODES
    return isinstance(answer, LimiterUnavailableError)


def _tell(seconds: float, failures: int) -> None:
    for watcher in tuple(_watchers):
        try:
            watcher(seconds, failures)
        except Exception:
            logger.exception("what watches the round trips to Redis has failed")
