"""What counts at a moment, for people and programs: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..errors import RatekitError
from ..limiter.overrides import ADAPTIVE, DISABLE, PAUSE, RATE, TEMPORARY, ZERO
from ..limiter.overrides.applying import text_of
from ..limiter.overrides.places import kind_of
from ..limiter.overrides.records import Record
from ..limiter.overrides.view import View
from ..limits import Concurrency, FixedWindow, Limit, ScheduledBucket, SlidingWindow, TokenBucket
from ..rates import Rate
from .known import Meant

__all__ = ["PAUSED", "UNLIMITED", "CurrentRate", "Override", "current_rates", "rate_now"]

PAUSED, UNLIMITED = "paused", "unlimited"

KIND_NAMES = {
    kind_of(kind): kind.__name__
    for kind in (TokenBucket, FixedWindow, SlidingWindow, ScheduledBucket, Concurrency)
}

LAYER_NAMES = {
    DISABLE: "disable",
    PAUSE: "pause",
    TEMPORARY: "rate for a time",
    ZERO: "rate of 0",
    RATE: "rate",
    ADAPTIVE: "adaptive rate",
}


@dataclass(frozen=True, slots=True)
class Override:
    """What somebody set.

    ``layer``: "disable", "pause", "rate for a time", "rate of 0", "rate" or "adaptive rate".
    ``key``: empty for all keys; of a key that Redis keeps only as a hash, that hash. ``what``: the
    rate or the places as text, empty where there is none. ``until`` is None where it counts until
    it is changed.
    """

    layer: str
    name: str
    key: str
    what: str
    by: str
    reason: str
    at: datetime
    until: datetime | None

    @classmethod
    def of(cls, record: Record) -> Override:
        """What a record says."""
        return cls(
            LAYER_NAMES[record.place.layer],
            record.name,
            record.place.key if record.key is None else record.key,
            record.what,
            record.by,
            record.reason,
            _moment(record.at_us),
            _moment(record.until_us) if record.until_us else None,
        )

    def __str__(self) -> str:
        whose = f" of {self.key!r}" if self.key else ""
        until = "" if self.until is None else f" until {self.until:%Y-%m-%d %H:%M:%S} UTC"
        why = f": {self.reason}" if self.reason else ""
        what = f" {self.what}" if self.what else ""
        return (
            f"{self.layer}{what}{whose}{until}, set by {self.by or 'somebody'} at "
            f"{self.at:%Y-%m-%d %H:%M:%S} UTC{why}"
        )


@dataclass(frozen=True, slots=True)
class CurrentRate:
    """What one limit is now.

    ``rate``: "paused", "unlimited" or a rate, of places their number, of a schedule empty.
    ``declared``: the same as the code or the settings say it; empty where only others know it.
    ``kind``: the class of the limit, or "celery" for a plain task's own limit per worker, whose
    rate is that of this process. ``overrides``: what was set, the strongest first; ``keys``: the
    rates of keys that have one of their own. ``disagreement``: what live workers declare, where
    that differs.
    """

    name: str
    kind: str
    declared: str
    rate: str
    overrides: tuple[Override, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    disagreement: tuple[str, ...] = ()

    @property
    def is_paused(self) -> bool:
        """Whether nothing passes."""
        return self.rate == PAUSED

    @property
    def is_disabled(self) -> bool:
        """Whether everything passes because somebody switched the limit off."""
        return any(one.layer == LAYER_NAMES[DISABLE] for one in self.overrides)

    def __str__(self) -> str:
        return self.rate


def rate_now(view: View, limit: Limit) -> str:
    """What counts for a limit and its key: a rate, "paused" or "unlimited"."""
    if view.disabling(limit) is not None:
        return UNLIMITED
    rated = view.rated(limit)
    if view.pausing(limit) is not None or rated.is_paused:
        return PAUSED
    if rated.is_unlimited:
        return UNLIMITED
    return shown_rate(rated)


def shown_rate(limit: Limit) -> str:
    """The limit's rate as people write it; of places their number, of a schedule empty."""
    if isinstance(limit, (TokenBucket, FixedWindow, SlidingWindow)):
        if limit.is_paused:
            return PAUSED
        rate = limit.rate
        return str(Rate(rate.amount, rate.period_seconds) if rate.burst == 1 else rate)
    return text_of(limit) or ""


def current_rates(
    view: View, known: Iterable[Meant], plain: Mapping[str, Rate | None]
) -> dict[str, CurrentRate]:
    """All limits that are known here or that live workers declare, and plain tasks, by name.

    Of several kinds under one name the others have their kind behind it: ``"charge (places)"``.
    """
    found: dict[str, CurrentRate] = {}
    for meant in known:
        if meant.limit is not None:
            _put(found, _of_limit(view, meant.limit))
    here = {(one.name, one.kind) for one in found.values()}
    for one in _of_others(view):
        if (one.name, one.kind) not in here:
            _put(found, one)
    for name, rate in plain.items():
        text = "" if rate is None else str(rate)
        _put(found, CurrentRate(name, "celery", text, text))
    return found


def _put(found: dict[str, CurrentRate], one: CurrentRate) -> None:
    found[one.name if one.name not in found else f"{one.name} ({one.kind})"] = one


def _of_limit(view: View, limit: Limit, *, is_declared: bool = True) -> CurrentRate:
    limit = limit.with_key("").with_cost(0)  # What a call costs says nothing here.
    keyed = {}
    for record in view.live.values():
        if record.place.name == view.part(limit.name) and record.place.key:
            key = record.place.key if record.key is None else record.key
            keyed[key] = _rate_of_key(view, limit, record)
    return CurrentRate(
        limit.name,
        type(limit).__name__,
        shown_rate(limit) if is_declared else "",
        rate_now(view, limit),
        tuple(map(Override.of, view.records_of(limit))),
        keyed,
        view.disagreements.get((kind_of(limit), limit.name), ()),
    )


def _rate_of_key(view: View, limit: Limit, record: Record) -> str:
    if record.key is not None:
        return rate_now(view, limit.with_key(record.key))
    return record.what or PAUSED


def _of_others(view: View) -> Iterator[CurrentRate]:
    """The limits that only other workers know: each at the lowest rate that they declare."""
    lowest: dict[tuple[str, str], Any] = {}
    for one in sorted(view.snapshot.declared, key=lambda one: one.width, reverse=True):
        lowest[one.kind, one.name] = one.limit
    for limit in lowest.values():
        try:
            yield _of_limit(view, limit)
        except RatekitError:
            continue


def _moment(us: float) -> datetime:
    return datetime.fromtimestamp(us / 1e6, timezone.utc)
