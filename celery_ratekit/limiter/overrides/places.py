"""Where an override stands: its layer, and kind, name and key of the limits that it concerns."""

from __future__ import annotations

from typing import NamedTuple

from ...limits import Concurrency, FixedWindow, Limit, ScheduledBucket, SlidingWindow, TokenBucket

__all__ = [
    "ADAPTIVE",
    "ANY_KIND",
    "DISABLE",
    "LAYERS",
    "PAUSE",
    "RATE",
    "RATE_LAYERS",
    "TEMPORARY",
    "ZERO",
    "Place",
    "kind_of",
]

DISABLE = "d"
"""Everything passes: for one name or, without a name, for all limits."""

PAUSE = "p"
"""Nothing passes, whatever the rate."""

TEMPORARY = "t"
"""A rate for some seconds."""

ZERO = "z"
"""A rate of 0. It stands apart from RATE, so that what it replaced is there when it goes."""

RATE = "r"
"""A rate until it is changed."""

ADAPTIVE = "a"
"""A rate that was worked out from how the called service answered."""

LAYERS = (DISABLE, PAUSE, TEMPORARY, ZERO, RATE, ADAPTIVE)
"""From the strongest."""

RATE_LAYERS = (TEMPORARY, RATE, ADAPTIVE)

ANY_KIND = "-"

KINDS: dict[type[Limit], str] = {
    TokenBucket: "t",
    FixedWindow: "f",
    SlidingWindow: "s",
    ScheduledBucket: "c",
    Concurrency: "p",
}


class Place(NamedTuple):
    """One place; there is at most one record in it.

    ``kind``: the limit's kind, since limits of several kinds may have one name, or ANY_KIND.
    ``name`` and ``key`` are parts of a Redis key (see `KeySpace.part` and `KeySpace.key_part`);
    both may be empty: all names, all keys.
    """

    layer: str
    kind: str
    name: str
    key: str

    @property
    def field(self) -> bytes:
        """The name of the record in Redis; its parts hold no colon."""
        return f"{self.layer}{self.kind}:{self.name}:{self.key}".encode()

    @classmethod
    def of_field(cls, field: bytes) -> Place | None:
        """The place that a field names; None for what names none."""
        head, _, rest = field.decode("utf-8", "replace").partition(":")
        name, found, key = rest.partition(":")
        if len(head) != 2 or not found or head[0] not in LAYERS:
            return None
        return cls(head[0], head[1], name, key)


def kind_of(limit: Limit | type[Limit]) -> str:
    """The letter of a limit's kind."""
    return KINDS[limit if isinstance(limit, type) else type(limit)]
