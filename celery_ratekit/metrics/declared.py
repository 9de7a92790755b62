"""Which limits an app has that are the same for all calls."""

from __future__ import annotations

from itertools import islice
from typing import Any

from ..limits import Limit
from ..tasks.runtime import runtime_of

__all__ = ["limits_without_key"]


def limits_without_key(app: Any, most: int) -> list[Limit]:
    """The limits of an app's tasks, rules and names that are counted once for all calls.

    Those with a key are left out: how many there are depends on users. Each name once, and at most
    so many: those that come first.
    """
    found: dict[str, Limit] = {}
    for limit in runtime_of(app).book.declared(app):
        if limit.key == "":
            found.setdefault(limit.name, _of_one_call(limit))
    return list(islice(found.values(), most))


def _of_one_call(limit: Limit) -> Limit:
    """The limit at a cost that can be asked for: what it holds is the same at any."""
    return limit.with_cost(min(1, limit.capacity)) if callable(limit.cost) else limit
