"""One Redis server, asked over held connections and behind a circuit breaker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ResponseError,
    TryAgainError,
)

from ..errors import LimiterUnavailableError, StateVersionError
from .breaker import CircuitBreaker, Degradation
from .connection import HeldConnections, is_read_only
from .scripts import AMEND, DECIDE, PRESENCE, Script

__all__ = ["Server"]

REFUSES_WRITES = re.compile(r"\b(OOM|MISCONF|NOREPLICAS|READONLY)\b")
REFUSES_ALL = re.compile(r"\b(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|NOPERM)\b")
ABOUT_THE_QUESTION = re.compile(r"\b(WRONGTYPE|user_script|hash to the same slot)\b")

OF_CLUSTERS: Mapping[str, type[ResponseError]] = {
    "ASK": AskError,
    "CLUSTERDOWN": ClusterDownError,
    "MOVED": MovedError,
    "TRYAGAIN": TryAgainError,
}

CALLS_THAT_WRITE = (AMEND, PRESENCE)


class Server:
    """Asks one server; while its circuit is open, all but one probe at a time fail at once.

    It is the whole way to a deployment of one server, or to the master that Sentinel names, and
    one node's part of the way to a cluster. ``address`` replaces the host and port that ``pool``
    connects to.
    """

    splits_by_slot = False

    def __init__(
        self, pool: Any, timeout_seconds: float, degradation: Degradation, **address: Any
    ) -> None:
        self._held = HeldConnections(pool, timeout_seconds, **address)
        self._breaker = CircuitBreaker(degradation)
        self._refused_a_write = False

    def ask(
        self, key: bytes, command: bytes, script: Script | None = None, *, migrating: bool = False
    ) -> Any:
        """The answer to a packed command; ``migrating``: for keys that it is just taking over.

        ``key`` is for transports that have to choose a server. Raises LimiterUnavailableError where
        there is no answer, StateVersionError where a newer release wrote the state, and redis'
        AskError, MovedError and TryAgainError.
        """
        if not self._breaker.is_closed:
            return self._probe(command, script, migrating=migrating)
        try:
            if migrating:
                return self._held.ask_migrating(command, script)
            return self._held.ask(command, script)
        except (LimiterUnavailableError, ResponseError) as error:
            failure, is_unwell = self._judged(error)
            if is_unwell:
                self._breaker.failed(failure)
            raise failure from _cause(failure, error)

    @property
    def is_well(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._breaker.is_closed

    def close(self) -> None:
        """Closes every idle connection."""
        self._held.drop()

    def retire(self) -> None:
        """Closes what belongs to a server that nobody will ask again, whatever state it is in."""
        self._held.drop()
        self._breaker.retire()

    def _probe(self, command: bytes, script: Script | None, *, migrating: bool) -> Any:
        breaker = self._breaker
        if not breaker.begin_probe():
            raise LimiterUnavailableError(
                "Redis did not answer lately, so it was not asked; nothing was charged. It is "
                f"asked again in {breaker.wait_seconds:.1f} s"
            )
        trouble: Exception | None = None
        try:
            ask = self._held.ask_migrating if migrating else self._held.ask
            answer = ask(command, script)
        except (LimiterUnavailableError, ResponseError) as error:
            failure, is_unwell = self._judged(error)
            if is_unwell:
                trouble = failure
            elif not self._refused_a_write:
                breaker.succeeded()
            raise failure from _cause(failure, error)
        else:
            # A server that refuses to write may still know how to say no.
            if not self._refused_a_write or _wrote(script, answer):
                breaker.succeeded()
            return answer
        finally:
            breaker.end_probe(trouble)

    def _judged(self, error: LimiterUnavailableError | ResponseError) -> tuple[Exception, bool]:
        """What the caller is told, and whether others who ask this server will fare no better."""
        if isinstance(error, LimiterUnavailableError):
            self._refused_a_write = False
            return error, True
        error = _classified(error)
        text = str(error)
        if isinstance(error, (AskError, TryAgainError)):
            return error, False
        if "RATEKIT_STATE_VERSION" in text:
            return StateVersionError(
                f"the state of a limit was written by a newer release ({text[:200]}); "
                "upgrade this process, or reset the limit"
            ), False
        refusal = LimiterUnavailableError(
            f"Redis refused the question ({text[:200]}); nothing was charged. Check its memory "
            "limit, its role and its permissions"
        )
        if _refuses_writes(error):
            self._refused_a_write = True
            return refusal, True
        if _refuses_all(error):
            self._refused_a_write = False
            return refusal, True
        return refusal, not ABOUT_THE_QUESTION.search(text)


def _classified(error: ResponseError) -> ResponseError:
    """The error of its own class: redis-py before 6 knows those of a cluster in its client only."""
    code, _, rest = str(error).partition(" ")
    kind = OF_CLUSTERS.get(code) if type(error) is ResponseError else None
    return error if kind is None else kind(rest)


def _cause(failure: Exception, error: Exception) -> BaseException | None:
    return error.__cause__ if failure is error else error


def _refuses_writes(error: ResponseError) -> bool:
    return (
        isinstance(error, OutOfMemoryError)
        or is_read_only(error)
        or REFUSES_WRITES.search(str(error)) is not None
    )


def _refuses_all(error: ResponseError) -> bool:
    return (
        isinstance(error, (ClusterDownError, NoPermissionError))
        or REFUSES_ALL.search(str(error)) is not None
    )


def _wrote(script: Script | None, answer: Any) -> bool:
    """Whether an answer shows that the server accepts writes."""
    if script is DECIDE:
        return bool((answer if isinstance(answer, int) else answer[0]) > 0)
    return script in CALLS_THAT_WRITE
