"""Which throttled queue a message belongs to: its header names one, and says nothing of rates."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import BadOptionError
from ..rules import MAX_NAME_LENGTH

__all__ = ["OBEYS_NONE", "QUEUE_HEADER", "QueuePlace", "checked_name", "checked_prefix", "place_of"]

QUEUE_HEADER = "ratekit_queue"
"""The header of a message with the prefix and the name of its throttled queue, a list."""

OBEYS_NONE = "celery.chord_unlock"
"""Celery's own task that waits for the end of a chord, where no result backend tells of it.

It comes with the headers of the chord, and again and again: it would take tokens of other tasks.
"""

PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class QueuePlace(NamedTuple):
    """A throttled queue: ``prefix`` is the namespace in which ``name`` stands."""

    prefix: str
    name: str

    @property
    def limit_name(self) -> str:
        """The name of its limit: a prefix has no slash, so no two queues share one."""
        return f"{self.prefix}/{self.name}"

    @property
    def header(self) -> list[str]:
        """What a message of the queue has under QUEUE_HEADER."""
        return [self.prefix, self.name]


def place_of(header: object) -> QueuePlace:
    """The queue that a header names, which may be anything; raises BadOptionError."""
    if isinstance(header, (list, tuple)) and len(header) == 2:
        prefix, name = header
        if isinstance(prefix, str) and isinstance(name, str):
            return QueuePlace(checked_prefix(prefix), checked_name(name))
    # What came is not shown: it may be of any size and depth.
    raise BadOptionError(
        f"expected a prefix and a name in the header {QUEUE_HEADER}, got "
        f"{type(header).__name__!r:.60}; send it with CeleryThrottle.submit"
    )


def checked_prefix(prefix: object) -> str:
    """The prefix of a set of queues; raises BadOptionError where it cannot be one."""
    if isinstance(prefix, str) and PREFIX.fullmatch(prefix):
        return prefix
    raise BadOptionError(
        "expected 1 to 100 letters, digits and _.- as prefix of throttled queues, got "
        f'{prefix!r:.60}; write for example "my_app"'
    )


def checked_name(name: object) -> str:
    """The name of a queue; raises BadOptionError where it cannot be one."""
    if isinstance(name, str) and 0 < len(name) <= MAX_NAME_LENGTH and name.isprintable():
        return name
    raise BadOptionError(
        f"expected 1 to {MAX_NAME_LENGTH} printable characters as name of a throttled queue, got "
        f'{name!r:.60}; write for example "stripe"'
    )
