"""Ways to a Redis deployment: one server (or Sentinel's master), or the nodes of a Cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from redis.cluster import RedisCluster

from ..errors import BadOptionError
from .breaker import Degradation
from .cluster import ClusterTransport
from .redis_url import ClusterAddress, RedisClient, address_from_url
from .scripts import Script
from .server import Server
from .steps import Command

__all__ = ["Transport", "transport_for"]


class Transport(Protocol):
    """Asks the server that has the keys."""

    splits_by_slot: bool
    """Whether keys of different tags may live on different servers."""

    def ask(self, key: bytes, command: bytes, script: Script | None = None) -> Any:
        """The answer to a packed command, from the server that has ``key``.

        Raises LimiterUnavailableError where there is none, StateVersionError where a newer release
        wrote the state.
        """
        ...

    def ask_many(self, commands: Sequence[Command]) -> list[Any]:
        """The answers in order, in one round trip to each server; an error in place of an answer.

        The errors are those that `ask` raises. A few large pieces take the place of one, so that
        many commands fill no buffers and stop nobody else for long.
        """
        ...

    def close(self) -> None:
        """Closes every idle connection."""
        ...


def transport_for(
    redis: str | RedisClient,
    timeout_seconds: float,
    degradation: Degradation,
    **options: Any,
) -> Transport:
    """The transport to an address, or to where a redis-py client connects; connects to nothing.

    ``options`` go to the client that is made for an address. A client that is given is not used to
    ask: its address and credentials are, over connections of the transport's own.
    """
    if isinstance(redis, str):
        times = {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
        target = address_from_url(redis, **{**times, **options})
    elif isinstance(redis, RedisCluster):
        target = ClusterAddress.of_client(redis)
    else:
        target = redis
    if isinstance(target, ClusterAddress):
        return ClusterTransport(target, timeout_seconds, degradation)
    pool = getattr(target, "connection_pool", None)
    if not hasattr(pool, "get_connection") or "asyncio" in type(pool).__module__:
        raise BadOptionError(
            "expected a Redis address or a client of redis-py (redis.Redis or RedisCluster, not "
            f"asyncio), got {type(redis).__module__}.{type(redis).__name__}"
        )
    return Server(pool, timeout_seconds, degradation)
