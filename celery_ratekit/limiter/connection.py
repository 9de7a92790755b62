"""Held connections to one Redis server: one question, one answer, one try.

redis-py repeats a failed command ten times by default, which charges a limit ten times over and
holds an event loop for seconds. Here a question is repeated only where it certainly did not run:
when it could not be sent, and when the server refused it before running anything.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import redis
import redis.sentinel
from redis import exceptions
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from ..errors import LimiterUnavailableError
from .forks import after_fork
from .resp import pack
from .scripts import Script

__all__ = ["MAX_REPAIRS", "HeldConnections", "is_read_only"]

IDLE_SECONDS_BEFORE_CHECK = 1.0
"""A connection idle for longer is checked before use: a server that restarted has closed it."""

MAX_CONNECTIONS = 2**31 - 1
"""As many as there are threads: redis-py would refuse the hundred and first."""

MAX_REPAIRS = 3
"""How often a refused command may be asked again: a script sent, another master looked for."""

ASKING = pack((b"ASKING",))

_GET_CONNECTION_ARGUMENTS: tuple[str, ...] = (
    # Before 5.3, redis-py wanted the command's name; since then it warns of it.
    () if tuple(map(int, redis.__version__.split(".")[:2])) >= (5, 3) else ("EVALSHA",)
)


class HeldConnections:
    """A stack of connections to one server, shared by threads, dropped in a forked child.

    ``pool`` says how to connect; a pool of the same kind is made for this object's own use, with
    one try, without decoding, and with ``timeout_seconds`` for connecting and for each answer.
    ``address`` replaces its host and port.
    """

    def __init__(self, pool: Any, timeout_seconds: float, **address: Any) -> None:
        self._make_pool: Callable[[], Any] = lambda: _own_pool(pool, timeout_seconds, address)
        self._pool: Any = self._make_pool()
        self._idle: deque[tuple[Any, float]] = deque()
        after_fork(self)

    def ask(self, command: bytes, script: Script | None = None) -> Any:
        """The server's answer to a packed command.

        A script that the server does not know is sent to it and called again. Raises
        LimiterUnavailableError where there is no usable answer, and redis' ResponseError where
        the server refused the command.
        """
        try:
            return self._read(self._send(command))
        except ResponseError as error:
            return self._ask_again(lambda: self._ask_once(command), script, error)

    def ask_migrating(self, command: bytes, script: Script | None = None) -> Any:
        """As `ask`, of a cluster's node that is just taking over the keys."""

        def ask() -> Any:
            return self._read(self._send(ASKING + command), after_asking=True)

        try:
            return ask()
        except ResponseError as error:
            return self._ask_again(ask, script, error)

    def _ask_again(
        self, ask: Callable[[], Any], script: Script | None, error: ResponseError
    ) -> Any:
        """The answer to what was refused before it ran, for a reason that can be removed."""
        reconnected = False
        for _ in range(MAX_REPAIRS):
            if isinstance(error, NoScriptError) and script is not None:
                self._ask_once(pack((b"SCRIPT", b"LOAD", script.text)))
            elif is_read_only(error) and not reconnected:
                # A master that became a replica: there may be a new one behind the address.
                self.drop()
                reconnected = True
            else:
                raise error
            try:
                return ask()
            except ResponseError as again:
                error = again
        raise error

    def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """The answers to commands that are sent at once, with an error in place of an answer.

        The errors are those that `ask` raises; nothing is sent again.
        """
        try:
            connection = self._send_all(commands)
        except LimiterUnavailableError as error:
            return [_alike(error) for _ in commands]
        answers: list[Any] = []
        try:
            for _ in commands:
                try:
                    answers.append(connection.read_response(disable_decoding=True))
                except ResponseError as error:
                    answers.append(error)
        except BaseException as error:
            self._discard(connection)
            self.drop()
            failure = _failure_to_answer(error)
            if failure is None:
                raise
            answers.append(failure)
            answers += [_lost(error) for _ in commands[len(answers) :]]
        else:
            self._idle.append((connection, time.monotonic()))
        return answers

    def drop(self) -> None:
        """Closes every idle connection."""
        while self._idle:
            try:
                self._discard(self._idle.pop()[0])
            except IndexError:  # Another thread took it.
                return

    def forget(self) -> None:
        """Lets go of connections that belong to the parent process, without closing them there."""
        self._idle = deque()
        # Not reset(): another thread of the parent may have held the pool's lock.
        self._pool = self._make_pool()

    def _ask_once(self, command: bytes) -> Any:
        return self._read(self._send(command))

    def _read(self, connection: Any, *, after_asking: bool = False) -> Any:
        """The answer that is due on ``connection``, which is idle from then on."""
        try:
            if after_asking:
                with suppress(ResponseError):  # The question's own answer tells what is wrong.
                    connection.read_response(disable_decoding=True)
            answer = connection.read_response(disable_decoding=True)
        except ResponseError:
            self._idle.append((connection, time.monotonic()))
            raise
        except BaseException as error:
            self._discard(connection)
            self.drop()
            failure = _failure_to_answer(error)
            if failure is None:
                raise
            raise failure from failure.__cause__
        self._idle.append((connection, time.monotonic()))
        return answer

    def _send(self, command: bytes) -> Any:
        connection = self._take()
        if connection is not None:
            try:
                connection.send_packed_command((command,), check_health=False)
            except exceptions.TimeoutError as error:
                # It would take as long again on another connection.
                self._discard(connection)
                self.drop()
                raise _unreachable(error) from error
            except (RedisError, OSError):
                # What cannot be sent did not run. The others are of the same age: drop them too.
                self._discard(connection)
                self.drop()
            except BaseException:
                self._discard(connection)
                raise
            else:
                return connection
        connection = self._connect()
        try:
            connection.send_packed_command((command,), check_health=False)
        except BaseException as error:
            self._discard(connection)
            if isinstance(error, (RedisError, OSError)):
                raise _unreachable(error) from error
            raise
        return connection

    def _send_all(self, commands: Sequence[bytes]) -> Any:
        connection = self._take(unchecked_seconds=0.0)
        if connection is None:
            connection = self._connect()
        try:
            connection.send_packed_command((b"".join(commands),), check_health=False)
        except BaseException as error:
            self._discard(connection)
            self.drop()
            if isinstance(error, (RedisError, OSError)):
                # All but the last may have arrived whole before it failed.
                raise (_lost(error) if len(commands) > 1 else _unreachable(error)) from error
            raise
        return connection

    def _take(self, unchecked_seconds: float = IDLE_SECONDS_BEFORE_CHECK) -> Any | None:
        """An idle connection that looks alive, or None."""
        while True:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < unchecked_seconds:
                return connection
            try:
                if not connection.can_read(timeout=0):
                    return connection
            except (RedisError, OSError):
                pass
            self._discard(connection)

    def _connect(self) -> Any:
        try:
            return self._pool.get_connection(*_GET_CONNECTION_ARGUMENTS)
        except (RedisError, OSError) as error:
            raise _unreachable(error) from error

    def _discard(self, connection: Any) -> None:
        with suppress(RedisError, OSError):
            connection.disconnect()
        self._pool.release(connection)


def is_read_only(error: BaseException) -> bool:
    """Whether a server refused to write because it is a replica.

    Redis 6.2 says so in the middle of the text where a script was refused.
    """
    return isinstance(error, ReadOnlyError) or "-READONLY" in str(error)


def _failure_to_answer(error: BaseException) -> ReadOnlyError | LimiterUnavailableError | None:
    """What is to be raised where redis-py read no answer; None: the error itself."""
    if isinstance(error.__context__, ReadOnlyError):  # Sentinel's connections hide it.
        return error.__context__
    if _is_refusal(error):
        return _unreachable(error)
    if isinstance(error, (RedisError, OSError)):
        return _lost(error)
    return None


def _is_refusal(error: BaseException) -> bool:
    """Whether redis-py's error was the server's answer: then nothing ran."""
    return isinstance(error, (BusyLoadingError, AuthenticationError)) or (
        isinstance(error, exceptions.ConnectionError) and "max number of clients" in str(error)
    )


def _own_pool(pool: Any, timeout_seconds: float, address: Mapping[str, Any]) -> Any:
    """A pool that connects as ``pool`` does, but tries once and gives bytes."""
    settings = {
        name: value
        for name, value in pool.connection_kwargs.items()
        # Notices of a hosted Redis' maintenance need RESP3 and a handler bound to the other pool.
        if "maint_notifications" not in name
        and not name.startswith("orig_")
        and name not in ("connection_pool", "event_dispatcher", "himport_registry")
    }
    settings.update(
        address,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        retry_on_timeout=False,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        decode_responses=False,
        health_check_interval=0,
        protocol=2,
        max_connections=MAX_CONNECTIONS,
    )
    if isinstance(pool, redis.sentinel.SentinelConnectionPool):
        return redis.sentinel.SentinelConnectionPool(
            pool.service_name,
            _own_sentinels(pool.sentinel_manager, timeout_seconds),
            connection_class=pool.connection_class,
            is_master=pool.is_master,
            check_connection=pool.check_connection,
            **settings,
        )
    if issubclass(pool.connection_class, redis.UnixDomainSocketConnection):
        settings.pop("socket_connect_timeout")
    return redis.ConnectionPool(connection_class=pool.connection_class, **settings)


def _own_sentinels(manager: Any, timeout_seconds: float) -> Any:
    """The same Sentinels, each asked once and with our time-out."""
    own = copy.copy(manager)
    own.sentinels = [
        redis.Redis(connection_pool=_own_pool(one.connection_pool, timeout_seconds, {}))
        for one in manager.sentinels
    ]
    return own


def _lost(error: BaseException) -> LimiterUnavailableError:
    failure = LimiterUnavailableError(
        f"Redis was asked but its answer was lost ({_said(error)}); the limit may have been "
        "charged",
        maybe_charged=True,
    )
    failure.__cause__ = error
    return failure


def _unreachable(error: BaseException) -> LimiterUnavailableError:
    failure = LimiterUnavailableError(
        f"Redis could not be reached ({_said(error)}); nothing was charged. Check that it runs, "
        "and the address and password that ratekit_redis_url gives"
    )
    failure.__cause__ = error
    return failure


def _alike(error: LimiterUnavailableError) -> LimiterUnavailableError:
    """The same once more: each caller may change and raise an error of its own."""
    twin = LimiterUnavailableError(str(error), maybe_charged=error.maybe_charged)
    twin.__cause__ = error.__cause__
    return twin


def _said(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "..."
