"""Overrides as plain data, without any Redis."""

from __future__ import annotations

from collections.abc import Iterable

from celery_ratekit.limiter.keys import KeySpace
from celery_ratekit.limiter.overrides import Place, Record, Snapshot, View
from celery_ratekit.limiter.overrides.declared import (
    Declared,
    packed_declarations,
    read_declaration,
)
from celery_ratekit.limiter.overrides.places import ANY_KIND, kind_of
from celery_ratekit.limits import Concurrency, Limit, TokenBucket
from celery_ratekit.rates import Rate

NOW = 1_800_000_000_000_000.0
"""The moment of a view, us."""

KEYS = KeySpace("test")


def record(
    layer: str,
    name: str,
    what: str = "",
    *,
    key: str = "",
    kind: type[Limit] | None = TokenBucket,
    at: float = -10.0,
    until: float | None = None,
    lowered: float = 0.0,
    keys: KeySpace = KEYS,
) -> Record:
    """What somebody set; moments are seconds from NOW."""
    letter = ANY_KIND if kind is None or layer in "dp" else kind_of(kind)
    per_second = 0.0
    if what:
        per_second = float(what) if kind is Concurrency else Rate.parse(what).per_second
    return Record(
        Place(layer, letter, keys.part(name) if name else "", keys.key_part(key) if key else ""),
        name,
        None if keys.hides_keys and key else key,
        what,
        "ann@host:1",
        "because",
        NOW + at * 1e6,
        0.0 if until is None else NOW + until * 1e6,
        lowered,
        per_second,
        f"id of {layer}{what}".ljust(16)[:16],
        b"",
    )


def declared(*limits: Limit, seconds: float = 60) -> list[Declared]:
    """What live workers say that their limits are."""
    found = (read_declaration(one, NOW + seconds * 1e6) for one in packed_declarations(limits))
    return [one for one in found if one is not None]


def view(*records: Record, of_workers: Iterable[Declared] = (), keys: KeySpace = KEYS) -> View:
    """What counts at NOW."""
    return View(keys, Snapshot(NOW, b"1", records, tuple(of_workers)))
