"""Names for the buckets of a task that several classes give one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

__all__ = ["ADAPTIVE", "DYNAMIC", "STATIC", "TOKENS", "default_name"]

DYNAMIC, ADAPTIVE, TOKENS, STATIC = "dynamic", "adaptive", "tokens", "static"

PRIMARY_FIRST = (DYNAMIC, ADAPTIVE, TOKENS, STATIC)
"""Who takes the task's own name: before all others what is meant to be adjusted by that name."""


@lru_cache(1_024)
def default_name(cls: Any, bucket: str) -> str:
    """The name of one of a task's buckets where no option says one.

    The first in the order dynamic, adaptive, tokens, static has the task's name, the others add
    their word: ``charge (static)``. So each has a name of its own, whatever the order of the
    classes.
    """
    buckets = {base.__dict__.get("ratekit_bucket") for base in cls.__mro__}
    primary = next(one for one in PRIMARY_FIRST if one in buckets)
    return str(cls.name) if bucket == primary else f"{cls.name} ({bucket})"
