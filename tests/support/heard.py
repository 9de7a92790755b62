"""All that the package's signals tell during a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from celery_ratekit import signals

__all__ = ["Told", "heard"]


class Told(NamedTuple):
    """One call of a signal, with the fields of its contract."""

    signal: str
    sender: Any
    fields: dict[str, Any]


@contextmanager
def heard() -> Iterator[list[Told]]:
    """What is told from now on, in order; each must have the fields that its contract names."""
    told: list[Told] = []

    def hear(signal: Any, sender: Any, **fields: Any) -> None:
        told.append(Told(signal.name, sender, fields))

    known = [getattr(signals, name) for name in signals.__all__]
    for signal in known:
        signal.connect(hear, weak=False)
    try:
        yield told
    finally:
        for signal in known:
            signal.disconnect(hear)
    for one in told:
        assert set(one.fields) == getattr(signals, one.signal).providing_args, one
