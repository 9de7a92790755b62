"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Effort", "Load"]


@dataclass(frozen=True, slots=True)
class Load:
    """One queue at ``fast`` tasks per second, and ``number`` others at ``slow`` each."""

    fast: int
    number: int
    slow: int

    @property
    def per_second(self) -> int:
        """What all of them allow together."""
        return self.fast + self.number * self.slow

    @property
    def text(self) -> str:
        """As it is read."""
        return f"one queue at {self.fast}/s, {self.number} at {self.slow}/s each"

    def rates(self) -> dict[str, int]:
        """Tasks per second by the name of each queue."""
        return {"q0": self.fast, **{f"q{n}": self.slow for n in range(1, self.number + 1)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """The sizes of all parts.

    - ``repeats``: how often a and b run.
    - ``steady``, ``full_speed`` (a, b): the queues.
    - ``steady_seconds`` (a, b): how long the sends are watched.
    - ``idle_queues``, ``idle_seconds`` (c): what is idle, and for how long it is watched.
    - ``is_judged``: whether that is enough to say something.
    """

    repeats: int
    steady: Load
    full_speed: Load
    steady_seconds: int
    idle_queues: int
    idle_seconds: float
    is_judged: bool


FULL = Effort(
    repeats=3,
    steady=Load(100, 100, 1),
    full_speed=Load(500, 200, 2),
    steady_seconds=15,
    idle_queues=10_000,
    idle_seconds=30.0,
    is_judged=True,
)

QUICK = Effort(
    repeats=1,
    steady=Load(50, 10, 1),
    full_speed=Load(50, 10, 2),
    steady_seconds=2,
    idle_queues=50,
    idle_seconds=2.0,
    is_judged=False,
)
