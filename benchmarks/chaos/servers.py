"""The servers of a run: the Redis that is killed, and the broker where it is another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis
from celery_ratekit.embedded.redis_config import ConfigValue

__all__ = ["Servers", "broker_options", "servers_for"]

DURABLE: dict[str, ConfigValue] = {
    "appendonly": True,
    "appendfsync": "always",
    "auto-aof-rewrite-percentage": 0,  # The file is to tell all that ever happened.
}

VISIBILITY_SECONDS = 6
"""When Redis delivers again what a killed worker had; far longer than a task stays in a worker."""

REDIS_OPTIONS = {
    "visibility_timeout": VISIBILITY_SECONDS,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "unacked_restore_limit": 1_000,
    "unacked_mutex_expire": 2,  # a worker may be killed while it looks for what to deliver again
}


@dataclass(frozen=True, slots=True)
class Servers:
    """``redis`` keeps limits and backlog, and is the broker where ``rabbitmq`` is None."""

    redis: EmbeddedRedis
    rabbitmq: EmbeddedRabbitMQ | None

    @property
    def broker_url(self) -> str:
        return self.redis.celery_url if self.rabbitmq is None else self.rabbitmq.url

    def append_only_files(self) -> list[Path]:
        """Where Redis wrote down what it did, in the order in which it is to be read."""
        with self.redis.client() as client:
            home = Path(client.config_get("dir")["dir"])
        return sorted(home.glob("appendonlydir/*.incr.aof")) or [home / "appendonly.aof"]


@contextmanager
def servers_for(
    broker: str, rabbitmq: EmbeddedRabbitMQ | None = None, executable: str | None = None
) -> Iterator[Servers]:
    """The servers for a broker of this name; a ``rabbitmq`` that runs already may be given."""
    with EmbeddedRedis(executable=executable, config=DURABLE) as redis:
        if broker == "redis":
            yield Servers(redis, None)
        elif rabbitmq is not None:
            yield Servers(redis, rabbitmq)
        else:
            with EmbeddedRabbitMQ() as own:
                yield Servers(redis, own)


def broker_options(url: str) -> dict[str, Any]:
    """What both sides have to know of a broker; what was sent over AMQP is confirmed."""
    return {"confirm_publish": True} if url.startswith("amqp") else REDIS_OPTIONS
