"""A client for looking at the app's Redis, which gives up soon."""

from __future__ import annotations

from typing import Any

from redis.cluster import RedisCluster

from ..limiter.redis_url import RedisClient, client_from_url
from ..settings import Settings

__all__ = ["client_for_looking", "one_server"]

TIMEOUT_SECONDS = 2.0


def client_for_looking(settings: Settings) -> RedisClient:
    """A client of the Redis that keeps the limits; raises what redis-py raises for a cluster."""
    times = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    return client_from_url(settings.found_redis_url, **{**times, **settings.redis_options})


def one_server(client: RedisClient) -> Any:
    """The client of one server: of a cluster one of its masters, which stands for all."""
    if isinstance(client, RedisCluster):
        return client.get_redis_connection(client.get_primaries()[0])
    return client
