"""What the gate tells the process that runs a task: that the limits have let it start.

The grant travels in the request that Celery hands to its pool. A message may carry headers of any
name, so a grant counts only with a key that the worker made at its start and that its children get
through the environment; and the gate takes away whatever a message brings under that name.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from functools import lru_cache
from hmac import compare_digest
from typing import Any, NamedTuple
from zlib import crc32

from ..limiter import Decision
from ..limits import Limit

__all__ = ["GRANT_HEADER", "Grant", "make_key", "take_grant"]

GRANT_HEADER = "ratekit_grant"
KEY_VARIABLE = "RATEKIT_GATE_KEY"


class Grant(NamedTuple):
    """A granted start, as plain values.

    ``due`` is the granted moment by the machine's monotonic clock, seconds; ``costs`` are what the
    limits were charged; none where the limits only count, or let everything pass. ``marks`` tell
    which of the call's limits these are: what was set at run time may lift some.
    """

    due: float
    start_us: int = 0
    asked_us: int = 0
    holder: str = ""
    degraded: bool = False
    costs: tuple[float, ...] = ()
    marks: tuple[int, ...] = ()

    @classmethod
    def of(cls, decision: Decision, due: float) -> Grant:
        """What a decision says, for a start that was due at a moment."""
        return cls(
            due,
            decision.start_us,
            decision.asked_us,
            decision.holder,
            decision.degraded,
            *_charges(decision.limits),
        )

    def decision(self, limits: Sequence[Limit]) -> Decision | None:
        """The decision again, about the ``limits`` of the call; None where they only count."""
        if not self.costs:
            return None
        asked = {_mark(limit): limit for limit in limits}
        charged = [
            asked[mark].with_cost(cost)
            for mark, cost in zip(self.marks, self.costs, strict=True)
            if mark in asked
        ]
        return Decision(
            True,
            tuple(charged),
            start_us=self.start_us,
            asked_us=self.asked_us,
            holder=self.holder,
            degraded=self.degraded,
        )

    def put_into(self, headers: dict[str, Any]) -> None:
        """Lets the process that runs the request know."""
        headers[GRANT_HEADER] = (make_key(), *self)


@lru_cache(4_096)
def _charges(limits: tuple[Limit, ...]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The costs and marks of limits; most often they are those of the call before."""
    costs = tuple(limit.cost for limit in limits if not callable(limit.cost))
    return costs, tuple(map(_mark, limits))


def _mark(limit: Limit) -> int:
    """A number that tells apart the limits of one call, whatever their rates and costs."""
    parts = (type(limit).__name__, limit.name, str(limit.key), limit.tag)
    return crc32("\0".join(parts).encode("utf-8", "surrogatepass"))


def make_key() -> str:
    """The key of this worker, made when it is first needed; children inherit it."""
    key = _known_key()
    if key is None:
        key = os.environ[KEY_VARIABLE] = secrets.token_urlsafe(16)
    return key


def _known_key() -> str | None:
    key = _keys.get(KEY_VARIABLE)
    if key is None and (key := os.environ.get(KEY_VARIABLE)) is not None:
        _keys[KEY_VARIABLE] = key
    return key


_keys: dict[str, str] = {}  # Looking into the environment takes longer than all the rest.


def take_grant(headers: Any) -> Grant | None:
    """Takes the grant out of a running task's headers; None where there is none that counts."""
    value = headers.pop(GRANT_HEADER, None) if isinstance(headers, dict) else None
    if value is None or (key := _known_key()) is None or not isinstance(value, (list, tuple)):
        return None
    if len(value) != 1 + len(Grant._fields) or not isinstance(value[0], str):
        return None
    if not compare_digest(value[0].encode("utf-8", "replace"), key.encode()):
        return None
    return Grant(*value[1:])
