"""What live workers say that limits are, so that two releases at once are noticed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...errors import RatekitError
from ...limits import Concurrency, FixedWindow, Limit, SlidingWindow, TokenBucket
from .applying import text_of, width_of
from .places import kind_of
from .records import MAX_TEXT

__all__ = ["Declared", "packed_declarations", "read_declaration"]

MODELS: dict[str, type[TokenBucket | FixedWindow | SlidingWindow]] = {
    kind_of(kind): kind for kind in (TokenBucket, FixedWindow, SlidingWindow)
}


class Declared(NamedTuple):
    """The rate of a limit's name as some workers declare it, and until when that counts (us)."""

    kind: str
    name: str
    rate: str
    width: tuple[float, float]
    until_us: float

    @property
    def limit(self) -> Limit:
        """A limit of that name at that rate."""
        return _limit(self.kind, self.name, self.rate)


def packed_declarations(limits: Iterable[Limit]) -> list[bytes]:
    """What workers with these limits declare, each once; limits without a rate are left out."""
    packed: dict[bytes, None] = {}
    for limit in limits:
        rate = text_of(limit)
        if rate is not None and 0 < len(limit.name) <= MAX_TEXT:
            packed[json.dumps([kind_of(limit), limit.name, rate]).encode()] = None
    return list(packed)


def read_declaration(packed: bytes, until_us: float) -> Declared | None:
    """One declaration; None for what this release cannot read."""
    try:
        said: Any = json.loads(packed)
        kind, name, rate = said
        limit = _limit(kind, name, rate)
    except (ValueError, TypeError, KeyError, RatekitError):
        return None
    return Declared(kind, name, rate, width_of(limit), until_us)


def _limit(kind: str, name: str, rate: str) -> Limit:
    if kind == kind_of(Concurrency):
        return Concurrency(name, int(rate))
    return MODELS[kind](name, rate)
