"""Short names for what the scripts tell apart: task ids, lines and groups."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from uuid import UUID

from ..limiter.keys import KeySpace
from ..limits import Limit
from .values import Group

__all__ = ["group_id", "hash8", "line_id", "name_id", "raw", "task_id_bytes", "text"]

TASK_ID_BYTES = 16
GROUP_ID_BYTES = 16
REMEMBERED = 4_096
"""How many limits and groups keep their ids."""


def task_id_bytes(task_id: str) -> tuple[bytes, bool]:
    """Sixteen bytes for a task id, and whether they say it all, as they do of a plain UUID."""
    try:
        number = UUID(task_id)
    except ValueError:
        return hashlib.blake2b(raw(task_id), digest_size=TASK_ID_BYTES).digest(), False
    if str(number) == task_id:
        return number.bytes, True
    return hashlib.blake2b(raw(task_id), digest_size=TASK_ID_BYTES).digest(), False


def name_id(limit_name: str) -> bytes:
    """What the ids of all lines of a limit's name begin with."""
    return hash8(limit_name)


@lru_cache(REMEMBERED)
def line_id(keys: KeySpace, limit: Limit) -> bytes:
    """Tells apart what is counted apart: a limit and its key."""
    return name_id(limit.name) + hash8(keys.state(limit))


@lru_cache(REMEMBERED)
def group_id(keys: KeySpace, group: Group) -> bytes:
    """Tells apart the groups of a queue; what a call costs makes no difference."""
    states = sorted({keys.state(limit) for limit in group.limits})
    parts = [raw(part) for part in (group.task, *states)]
    packed = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return hashlib.blake2b(packed, digest_size=GROUP_ID_BYTES).digest()


def hash8(name: str) -> bytes:
    """Eight bytes for a name of any length."""
    return hashlib.blake2b(raw(name), digest_size=8).digest()


def raw(name: str) -> bytes:
    """A name as Redis keeps it, whatever characters strangers put into it."""
    return name.encode("utf-8", "surrogatepass")


def text(stored: bytes) -> str:
    """The name that `raw` made bytes of."""
    return stored.decode("utf-8", "surrogatepass")
