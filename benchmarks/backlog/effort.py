"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Effort"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """The sizes of all parts.

    - ``repeats``: how often a, b, e and f run.
    - ``parked``, ``free`` (a): throttled tasks, and the unlimited ones behind them.
    - ``many``, ``few`` (b): the tasks of two users of one queue.
    - ``users``, ``each`` (b): users with a backlog, and how many tasks each of them has.
    - ``groups``, ``idle_seconds`` (c): what is not due, and for how long an idle worker is watched.
    - ``waiting``, ``turn`` (d): how many tasks wait in the end, and how many are parked or dropped
      at a stretch.
    - ``drain_seconds`` (d), ``steady_seconds`` (e, f): how long a rate is watched.
    - ``is_judged``: whether that is enough to say something.
    """

    repeats: int
    parked: int
    free: int
    many: int
    few: int
    users: int
    each: int
    groups: int
    idle_seconds: float
    waiting: int
    turn: int
    drain_seconds: float
    steady_seconds: float
    is_judged: bool


FULL = Effort(
    repeats=3,
    parked=5_000,
    free=50,
    many=10_000,
    few=10,
    users=2_000,
    each=5,
    groups=10_000,
    idle_seconds=30.0,
    waiting=100_000,
    turn=5_000,
    drain_seconds=15.0,
    steady_seconds=15.0,
    is_judged=True,
)

QUICK = Effort(
    repeats=1,
    parked=100,
    free=5,
    many=100,
    few=3,
    users=20,
    each=4,
    groups=50,
    idle_seconds=2.0,
    waiting=200,
    turn=100,
    drain_seconds=1.0,
    steady_seconds=1.0,
    is_judged=False,
)
