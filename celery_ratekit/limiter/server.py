"""One Redis server, asked over held connections and behind a circuit breaker."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
from .connection import is_read_only
from .scripts import AMEND, DECIDE, PRESENCE, Script
from .steps import Command
from .together import ask_together
from .watching import WatchedConnections

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
    is_followed = False
    """Whether whoever asks goes where the server sends them on to."""

    def __init__(
        self, pool: Any, timeout_seconds: float, degradation: Degradation, **address: Any
    ) -> None:
        self._held = WatchedConnections(pool, timeout_seconds, **address)
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

    def ask_many(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to many commands, with the error that `ask` would raise in place of one."""
        breaker = self._breaker
        if breaker.is_closed:
            answers, trouble = self._ask_together(commands)
            if trouble is not None:
                breaker.failed(trouble)
            return answers
        if not breaker.begin_probe():
            return [self._not_asked() for _ in commands]
        trouble = None
        try:
            answers, trouble = self._ask_together(commands)
            if trouble is None and (not self._refused_a_write or _one_wrote(commands, answers)):
                breaker.succeeded()
            return answers
        finally:
            breaker.end_probe(trouble)

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
            raise self._not_asked()
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

    def _ask_together(self, commands: Sequence[Command]) -> tuple[list[Any], Exception | None]:
        """The answers, and what shows that others who ask this server will fare no better."""
        trouble: Exception | None = None
        answers: list[Any] = []
        for answer in ask_together(self._held, commands):
            if not isinstance(answer, (LimiterUnavailableError, ResponseError)):
                answers.append(answer)
                continue
            failure, is_unwell = self._judged(answer)
            failure.__cause__ = _cause(failure, answer)
            answers.append(failure)
            if is_unwell and trouble is None:
                trouble = failure
        return answers, trouble

    def _not_asked(self) -> LimiterUnavailableError:
        error = self._breaker.error
        failure = LimiterUnavailableError(
            "Redis did not answer lately, so it was not asked; nothing was charged. It is "
            f"asked again in {self._breaker.wait_seconds:.1f} s. When it was: {error}"
        )
        failure.__cause__ = error
        return failure

    def _judged(self, error: LimiterUnavailableError | ResponseError) -> tuple[Exception, bool]:
        """What the caller is told, and whether others who ask this server will fare no better."""
        if isinstance(error, LimiterUnavailableError):
            self._refused_a_write = False
            return error, True
        error = _classified(error)
        text = str(error)
        if isinstance(error, (AskError, TryAgainError)):
            return (error if self.is_followed else _is_of_a_cluster(text)), False
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


def _is_of_a_cluster(text: str) -> LimiterUnavailableError:
    return LimiterUnavailableError(
        f"Redis sent the question on ({text[:200]}), because it is a node of a cluster; nothing "
        "was charged. Give an address that begins with redis+cluster:// or rediss+cluster://"
    )


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


def _one_wrote(commands: Sequence[Command], answers: Sequence[Any]) -> bool:
    return any(
        _wrote(command.script, answer)
        for command, answer in zip(commands, answers, strict=True)
        if not isinstance(answer, Exception)
    )


def _wrote(script: Script | None, answer: Any) -> bool:
    """Whether an answer shows that the server accepts writes."""
    if script is DECIDE:
        return bool((answer if isinstance(answer, int) else answer[0]) > 0)
    return script in CALLS_THAT_WRITE
