"""Overrides as they stand in Redis, and changes of them."""

from __future__ import annotations

import json
import math
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any

from ...errors import BadLimitError
from .places import Place

__all__ = ["Change", "End", "PutBack", "Record", "Set", "read_record"]

HEADER = struct.Struct("<Bdddd")
SETTING = struct.Struct("<dd")
ID_LENGTH = 16

MAX_TEXT = 200
"""The most characters of a name or key, and of who set it."""

MAX_REASON = 500

MAX_SECONDS = 366 * 86_400.0
"""The longest time for which something is set."""


@dataclass(frozen=True, slots=True)
class Record:
    """What was set, by whom, why and when.

    ``name`` and ``key`` as they were given; ``key`` is None where Redis keeps only its hash.
    ``what``: a rate or a number of places as text; empty where the layer says it all. ``at_us``,
    ``until_us``: by Redis' clock, microseconds since 1970; 0: until it is changed. ``lowered_us``:
    when a lower rate took the place of a higher one, 0 if not known. ``packed``: as it was read.
    """

    place: Place
    name: str
    key: str | None
    what: str
    by: str
    reason: str
    at_us: float
    until_us: float
    lowered_us: float
    per_second: float
    id: str
    packed: bytes = field(repr=False)

    def is_live(self, now_us: float) -> bool:
        """Whether it counts at a moment."""
        return not self.until_us or now_us < self.until_us


@dataclass(frozen=True, slots=True)
class Set:
    """Sets a record.

    ``per_second`` is what ``what`` means, to tell a lower rate from a higher. ``seconds``: for how
    long, None: until it is changed. ``only_if``: the id that the record there must have, ``"-"``:
    none may be there; None: whatever is there.
    """

    place: Place
    name: str
    key: str | None = ""
    what: str = ""
    per_second: float = 0.0
    seconds: float | None = None
    by: str = ""
    reason: str = ""
    only_if: str | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def arguments(self) -> list[bytes]:
        """The change as the script reads it; raises BadLimitError for what cannot be kept."""
        for what, text in (("name", self.name), ("key", self.key or "")):
            if len(text) > MAX_TEXT:
                raise BadLimitError(
                    f"expected a {what} of at most {MAX_TEXT} characters to set a rate for, got "
                    f"one of {len(text)}: {text[:40]!r}..."
                )
        said = {"n": self.name, "k": self.key, "w": self.what}
        said |= {"b": self.by[:MAX_TEXT], "y": self.reason[:MAX_REASON]}
        packed = SETTING.pack(_microseconds(self.seconds, self.name), self.per_second)
        packed += self.id.encode().ljust(ID_LENGTH)[:ID_LENGTH] + json.dumps(said).encode()
        return [b"set", self.place.field, _guard(self.only_if), packed]


@dataclass(frozen=True, slots=True)
class End:
    """Ends a record; ``only_if`` as of `Set`."""

    place: Place
    only_if: str | None = None

    def arguments(self) -> list[bytes]:
        """The change as the script reads it."""
        return [b"end", self.place.field, _guard(self.only_if), b""]


@dataclass(frozen=True, slots=True)
class PutBack:
    """Puts back a record as it was read, with its id and its times; ``only_if`` as of `Set`."""

    record: Record
    only_if: str | None = None

    def arguments(self) -> list[bytes]:
        """The change as the script reads it."""
        return [b"back", self.record.place.field, _guard(self.only_if), self.record.packed]


Change = Set | End | PutBack


def read_record(field: bytes, packed: bytes) -> Record | None:
    """The record in a field; None for what this release cannot read."""
    place = Place.of_field(field)
    if place is None or len(packed) < HEADER.size + ID_LENGTH or packed[0] != 1:
        return None
    _, at_us, until_us, lowered_us, per_second = HEADER.unpack_from(packed)
    rest = packed[HEADER.size :]
    try:
        said: Any = json.loads(rest[ID_LENGTH:])
        name, key, what, by, reason = (said[one] for one in "nkwby")
    except (ValueError, KeyError, TypeError):
        return None
    if not all(isinstance(one, str) for one in (name, what, by, reason)):
        return None
    if key is not None and not isinstance(key, str):
        return None
    id_ = rest[:ID_LENGTH].decode("latin-1")
    return Record(
        place, name, key, what, by, reason, at_us, until_us, lowered_us, per_second, id_, packed
    )


def _guard(only_if: str | None) -> bytes:
    return (only_if or "").encode("latin-1")


def _microseconds(seconds: float | None, name: str) -> float:
    if seconds is None:
        return 0.0
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise BadLimitError(
            f"expected a number of seconds to change {name!r} for, got {type(seconds).__name__}"
        )
    if not math.isfinite(seconds) or not 0 < seconds <= MAX_SECONDS:
        raise BadLimitError(
            f"expected more than 0 and at most {MAX_SECONDS:,.0f} seconds to change {name!r} for, "
            f"got {seconds!r:.40}; leave it out to change it until the next change"
        )
    return max(1.0, seconds * 1e6)
