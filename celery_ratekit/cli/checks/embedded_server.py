"""Whether limits are kept by a server that is meant for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from .facts import Facts
from .finding import Finding, ok, warning

__all__ = ["NAME", "check"]

NAME = "embedded"

HOME_PREFIX = "ratekit-"
"""What the directories of embedded servers begin with; see `celery_ratekit.embedded.home`."""


def check(facts: Facts) -> Iterator[Finding]:
    """Told by the path of the server's configuration."""
    redis = facts.redis
    if redis is None:
        return
    if PurePath(redis.config_file).parent.name.startswith(HOME_PREFIX):
        yield warning(
            "limits are kept by an embedded Redis: it ends with the process that started it, and "
            "everything in it does",
            "in production run a Redis of its own, and set ratekit_redis_url",
        )
    else:
        yield ok("Redis is a server of its own")
