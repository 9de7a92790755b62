"""What overrides make of limits, as they were read at one moment: no I/O, and it never changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ...errors import RatekitError
from ...limits import Limit
from ..keys import KeySpace
from .applying import as_declared, at_rate, text_of, width_of
from .declared import Declared
from .places import (
    ADAPTIVE,
    ANY_KIND,
    DISABLE,
    LAYERS,
    PAUSE,
    RATE,
    RATE_LAYERS,
    TEMPORARY,
    ZERO,
    Place,
    kind_of,
)
from .records import Record

__all__ = ["Snapshot", "View"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that stood in Redis: when (us), under which version, and who declares what."""

    now_us: float
    version: bytes | None
    records: tuple[Record, ...] = ()
    declared: tuple[Declared, ...] = ()


NOTHING = Snapshot(0.0, None)

_part = lru_cache(4_096)(KeySpace.part)  # Few names, of many calls with keys of their own.


class View:
    """Answers what overrides make of a limit.

    A key's own rate comes before its name's; among those of one the strongest layer counts. What
    no override concerns has the rate that it was given, or the lowest that live workers declare
    for it where they disagree.
    """

    def __init__(self, keys: KeySpace, snapshot: Snapshot = NOTHING) -> None:
        self._keys = keys
        self.snapshot = snapshot
        now = snapshot.now_us
        self._live = {one.place: one for one in snapshot.records if one.is_live(now)}
        self._ended: dict[tuple[str, str], list[Record]] = {}
        for one in snapshot.records:
            if one.place not in self._live:
                self._ended.setdefault((one.place.name, one.place.key), []).append(one)
        self._names = {one.place.name for one in snapshot.records}
        self._keyed_names = {one.place.name for one in snapshot.records if one.place.key}
        self._lowest = _lowest_of(snapshot.declared)

    @property
    def is_empty(self) -> bool:
        """Whether every limit is what it was given as."""
        return not self._names and not self._lowest

    @property
    def live(self) -> Mapping[Place, Record]:
        """What counts now."""
        return self._live

    @property
    def changes_in_seconds(self) -> float:
        """How long it stays true if nobody changes anything."""
        now = self.snapshot.now_us
        ends = [one.until_us for one in self._live.values() if one.until_us]
        ends += [one.until_us for one in self.snapshot.declared]
        return max(0.0, min(ends, default=math.inf) - now) / 1e6

    @property
    def disagreements(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """The rates that live workers declare where they disagree, the lowest first.

        By kind (see `kind_of`) and name.
        """
        return self._lowest

    def ids_by_name(self) -> dict[str, frozenset[str]]:
        """What tells for each name whether somebody has changed something.

        What is learned changes all the time, and by little.
        """
        ids: dict[str, set[str]] = {}
        for place, record in self._live.items():
            if place.layer == ADAPTIVE:
                continue
            ids.setdefault(record.name, set()).add(f"{record.id}{place.layer}")
        for (kind, name), rates in self._lowest.items():
            ids.setdefault(name, set()).add(f"{kind}{rates[0]}")
        return {name: frozenset(of_name) for name, of_name in ids.items()}

    # -- limits -----------------------------------------------------------------------------

    def effective(self, limit: Limit) -> Limit | None:
        """The limit as it is to be enforced; None where it is disabled or lifted."""
        if self.is_empty or callable(limit.key):
            return limit
        if self.disabling(limit) is not None:
            return None
        rated = self.rated(limit)
        return None if rated.is_unlimited else rated

    def rated(self, limit: Limit) -> Limit:
        """The limit at the rate that counts, whether it is disabled or paused or not."""
        name = _part(limit.name)
        record = self.rate_record(limit) if name in self._names else None
        try:
            if record is not None:
                return at_rate(limit, record.what, self._lowered_at(limit, record))
            if (lowest := self.lowest_declared(limit)) is not None:
                return as_declared(limit, lowest)
            if name in self._names and (lowered := self._lowered_at(limit, None)):
                text = text_of(limit)
                return limit if text is None else as_declared(limit, text, lowered)
        except RatekitError:
            return limit  # It was set for a limit of another kind.
        return limit

    def disabling(self, limit: Limit) -> Record | None:
        """What disables the limit."""
        name = _part(limit.name)
        whole = self._live.get(Place(DISABLE, ANY_KIND, "", ""))
        return whole or self._live.get(Place(DISABLE, ANY_KIND, name, ""))

    def pausing(self, limit: Limit) -> Record | None:
        """What pauses the limit, a rate of 0 included."""
        if _part(limit.name) not in self._names:
            return None
        for key in self._keys_of(limit):
            paused = self._find(limit, PAUSE, key)
            if paused is not None:
                return paused
            rate = self._find(limit, TEMPORARY, key) or self._find(limit, ZERO, key)
            if rate is not None and not rate.per_second:
                return rate
        return None

    def part(self, name: str) -> str:
        """A name as it stands in places."""
        return _part(name)

    def records_of(self, limit: Limit) -> list[Record]:
        """All that was set for the limit's name as a whole and counts, the strongest first."""
        name = _part(limit.name)
        places = [Place(DISABLE, ANY_KIND, "", "")]
        for layer in LAYERS:
            places += [Place(layer, kind, name, "") for kind in (kind_of(limit), ANY_KIND)]
        return [self._live[place] for place in places if place in self._live]

    def is_paused(self, limit: Limit) -> bool:
        """Whether an override lets nothing pass."""
        return not callable(limit.key) and self.pausing(limit) is not None

    def rate_record(self, limit: Limit) -> Record | None:
        """What sets the limit's rate: above 0, since those of 0 pause."""
        for key in self._keys_of(limit):
            for layer in (TEMPORARY, RATE):
                record = self._find(limit, layer, key)
                if record is not None and record.per_second:
                    return record
        adaptive = (self._find(limit, ADAPTIVE, key) for key in self._keys_of(limit))
        return next((one for one in adaptive if one is not None), None)

    def lowest_declared(self, limit: Limit) -> str | None:
        """The lowest rate that live workers declare, where it is lower than the limit's own."""
        if not self._lowest:
            return None
        rates = self._lowest.get((kind_of(limit), limit.name))
        if rates is None:
            return None
        is_lower = width_of(as_declared(limit, rates[0])) < width_of(limit)
        return rates[0] if is_lower else None

    def _lowered_at(self, limit: Limit, record: Record | None) -> float:
        """When the rate last became lower, seconds since 1970; 0 where that is not known."""
        moments = [0.0]
        per_second = width_of(limit)[0]
        if record is not None:
            if record.per_second < per_second:
                moments.append(record.at_us)
            moments.append(record.lowered_us)
            per_second = record.per_second
        name = _part(limit.name)
        for key in self._keys_of(limit):
            for one in self._ended.get((name, key), ()):
                is_rate = one.place.layer in RATE_LAYERS and _concerns(one.place, limit)
                if is_rate and per_second < one.per_second < math.inf:
                    moments.append(one.until_us)
        return max(moments) / 1e6

    def _keys_of(self, limit: Limit) -> Iterator[str]:
        """The key's own place, then the name's."""
        if limit.key != "" and _part(limit.name) in self._keyed_names:
            yield self._keys.key_part(limit.key)
        yield ""

    def _find(self, limit: Limit, layer: str, key: str) -> Record | None:
        name = _part(limit.name)
        own = self._live.get(Place(layer, kind_of(limit), name, key))
        return own or self._live.get(Place(layer, ANY_KIND, name, key))


def _concerns(place: Place, limit: Limit) -> bool:
    return place.kind in (ANY_KIND, kind_of(limit))


def _lowest_of(declared: Iterable[Declared]) -> dict[tuple[str, str], tuple[str, ...]]:
    """The rates of each kind and name of which there are several, the lowest first."""
    found: dict[tuple[str, str], dict[tuple[float, float], str]] = {}
    for one in declared:
        found.setdefault((one.kind, one.name), {})[one.width] = one.rate
    return {
        what: tuple(rate for _, rate in sorted(rates.items()))
        for what, rates in found.items()
        if len(rates) > 1
    }
