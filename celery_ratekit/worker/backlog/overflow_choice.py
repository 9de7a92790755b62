"""Whether denied tasks of a worker wait in it or in the backlog."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ...rules import AUTO, BACKLOG, HOLD
from ...settings import Settings

__all__ = ["is_same_server", "overflow_of"]


def overflow_of(app: Any, task: Any, settings: Settings) -> str:
    """``"backlog"`` or ``"hold"``, for the messages of one task."""
    chosen: str = getattr(task, "overflow", None) or settings.overflow
    if chosen != AUTO:
        return chosen
    is_brokers = is_same_server(app.conf.broker_read_url, settings.redis_url)
    return BACKLOG if is_brokers else HOLD


def is_same_server(broker: object, redis_url: str | None) -> bool:
    """Whether two addresses name one Redis, whichever of its databases."""
    if not isinstance(broker, str) or redis_url is None:
        return False
    return any(_server(one) == _server(redis_url) for one in _split(broker) if _server(one))


def _split(urls: str) -> list[str]:
    # All of a Sentinel's addresses belong together.
    return [urls] if urls.startswith("sentinel") else urls.split(";")


def _server(url: str) -> tuple[str, ...] | None:
    """What tells one Redis from another; None where the address is of something else."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower().removeprefix("redis+")
    if scheme in ("socket", "unix"):
        return "unix", "/" + urlsplit("unix://" + rest).path.lstrip("/")
    if scheme.startswith("sentinel"):
        places = [urlsplit(one if "://" in one else f"x://{one}") for one in url.split(";")]
        return "sentinel", *sorted(f"{place.hostname}:{place.port or 26379}" for place in places)
    if scheme not in ("redis", "rediss"):
        return None
    parts = urlsplit(f"{scheme}://{rest}")
    host = (parts.hostname or "localhost").lower()
    return "tcp", "localhost" if host == "127.0.0.1" else host, str(parts.port or 6379)
