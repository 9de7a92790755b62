"""Overrides as plain data, to look at, keep, or carry to another Redis: no I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ..errors import BadOptionError
from ..limiter.keys import KeySpace
from ..limiter.overrides import Change, Place, Record, Set, View
from ..limiter.overrides.places import ANY_KIND, KINDS, LAYERS

__all__ = ["exported", "imported"]

VERSION = 1

HIDDEN_KEY = re.compile(r"~[\w-]{22}", re.ASCII)
"""What `KeySpace` makes of a key that must not be readable."""

KIND_NAMES = {letter: kind.__name__ for kind, letter in KINDS.items()} | {ANY_KIND: ""}
LAYER_NAMES = dict(
    zip(LAYERS, ("disable", "pause", "temporary", "zero", "rate", "adaptive"), strict=True)
)


def exported(view: View) -> dict[str, Any]:
    """All that counts, as data for JSON; moments are seconds since 1970."""
    records = sorted(view.live.values(), key=lambda one: one.place)
    return {"version": VERSION, "overrides": [_exported(one) for one in records]}


def _exported(record: Record) -> dict[str, Any]:
    place = record.place
    return {
        "layer": LAYER_NAMES[place.layer],
        "kind": KIND_NAMES.get(place.kind, place.kind),
        "name": record.name,
        "key": record.key,
        # What stands for a key that Redis keeps only as a hash.
        "key_part": place.key,
        "what": record.what,
        "per_second": None if math.isinf(record.per_second) else record.per_second,
        "by": record.by,
        "reason": record.reason,
        "at": record.at_us / 1e6,
        "until": record.until_us / 1e6 if record.until_us else None,
    }


def _hidden(part: object) -> str:
    """What stands for a key that is only known as a hash."""
    if not isinstance(part, str) or not HIDDEN_KEY.fullmatch(part):
        raise ValueError(f"expected the hash of a key, got {part!r:.60}")
    return part


def imported(data: Mapping[str, Any], view: View, keys: KeySpace) -> list[Change]:
    """What an export says, to be set now; without what was to end by now.

    Raises BadOptionError for what is no export.
    """
    overrides = data.get("overrides") if isinstance(data, Mapping) else None
    if not isinstance(overrides, list) or data.get("version") != VERSION:
        raise BadOptionError(
            f"expected what export() gave, of version {VERSION}, got "
            f"{type(data).__name__} with version "
            f"{data.get('version') if isinstance(data, Mapping) else None!r:.20}"
        )
    changes = (_imported(one, view.snapshot.now_us / 1e6, keys) for one in overrides)
    return [change for change in changes if change is not None]


def _imported(said: Any, now: float, keys: KeySpace) -> Set | None:
    try:
        layer = next(one for one, name in LAYER_NAMES.items() if name == said["layer"])
        kind = next(one for one, name in KIND_NAMES.items() if name == said["kind"])
        name, key, until = str(said["name"]), said["key"], said["until"]
        # An hour of Redis' clock is an hour of any other, so what is left is carried over.
        seconds = None if until is None else float(until) - now
        if seconds is not None and seconds <= 0:
            return None
        part = _hidden(said["key_part"]) if key is None else keys.key_part(key)
        return Set(
            Place(layer, kind, keys.part(name) if name else "", part if key != "" else ""),
            name,
            None if keys.hides_keys and key != "" else key,
            str(said["what"]),
            math.inf if said["per_second"] is None else float(said["per_second"]),
            seconds,
            str(said["by"]),
            str(said["reason"]),
        )
    except (StopIteration, KeyError, TypeError, ValueError) as error:
        raise BadOptionError(
            f"expected an override as export() gives it, got {said!r:.100} ({error!r:.60})"
        ) from error
