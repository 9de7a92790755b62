"""Waits until something was submitted or changed, or a time has passed."""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from ...limiter.overrides.store import names_of_message

__all__ = ["Listener"]

RETRY_SECONDS = 1.0
"""How often to try to connect."""


class Listener:
    """Hears what is published about the limits of a throttle's Redis.

    A lost connection is made up for: what is waited for is looked at from time to time anyway.
    """

    def __init__(self, throttle: Any) -> None:
        self._throttle = throttle
        self._pubsub: Any = None
        self._retry_at = 0.0
        self._inner, self._outer = socket.socketpair()

    def __enter__(self) -> Listener:
        self._inner.setblocking(False)
        self._outer.setblocking(False)
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()
        self._inner.close()
        self._outer.close()

    def wake(self) -> None:
        """Ends the wait; may be called from a signal handler."""
        with suppress(OSError):
            self._outer.send(b"x")

    def wait(self, seconds: float) -> set[str] | None:
        """The limits that something was published about within so many seconds; None: nothing.

        It may be over sooner, while there is no connection: that is to be made again.
        """
        sockets = [self._inner]
        stream = self._stream()
        if stream is None:
            seconds = min(seconds, self._retry_at - time.monotonic())
        else:
            sockets.append(stream)
        ready, _, _ = select.select(sockets, [], [], max(0.0, seconds))
        if self._inner in ready:
            self._inner.recv(4_096)
        return self._read() if stream in ready else None

    def _read(self) -> set[str] | None:
        heard: set[str] | None = None
        try:
            while (message := self._pubsub.get_message(timeout=0)) is not None:
                if message["type"] in ("message", "subscribe"):
                    heard = (heard or set()).union(names_of_message(message["data"]) or ())
        except (RedisError, OSError):
            self._drop()
            return set()
        return heard

    def _stream(self) -> Any:
        """The socket to wait for; None while there is no connection."""
        if self._pubsub is None and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            with suppress(RedisError, OSError):
                self._connect()
        connection = None if self._pubsub is None else self._pubsub.connection
        return None if connection is None else getattr(connection, "_sock", None)

    def _connect(self) -> None:
        runtime = self._throttle.runtime
        pubsub = runtime.redis.pubsub()
        pubsub.subscribe(runtime.limiter.overrides.channel)
        self._pubsub = pubsub

    def _drop(self) -> None:
        if self._pubsub is not None:
            with suppress(RedisError, OSError):
                self._pubsub.close()
        self._pubsub = None
