"""Long random lives of a backlog: claims are given back, moved and finished while others wait."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from .core_strategies import Do

WEIGHTS = {
    "park": 5,
    "claim": 8,
    "finish": 2,
    "give_back": 5,
    "die": 1,
    "take": 1,
    "wake": 1,
    "purge": 0.3,
    "step": 5,
}


def moves(seed: int, count: int) -> Iterator[Do]:
    """Operations of a BacklogWorld, the same for the same seed."""
    chance = random.Random(seed)
    names = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
    for name in names:
        yield Do(name, _arguments(name, chance))


def _arguments(name: str, chance: random.Random) -> tuple[Any, ...]:
    pick, number = chance.choice, chance.randrange
    of_worker: dict[str, Any] = {
        "claim": lambda: (
            pick([["send"], ["send", "fetch"], ["fetch", "send"], ["none"]]),
            number(6),
            pick([0, 0, 1]),
            chance.sample([0, 1, 2], pick([0, 0, 1, 2])),
        ),
        "finish": lambda: (number(5),),
        "give_back": lambda: (number(5), pick([None, 0, 1]), number(5), number(5) == 0),
        "die": tuple,
        "take": lambda: (number(5),),
    }
    if name in of_worker:
        return (number(2), *of_worker[name]())
    if name == "park":
        return [_parking(chance) for _ in range(number(1, 7))], pick([None, None, None, 4])
    if name == "purge":
        return pick([None, "api", "places"]), pick([None, "k", ""]), pick([None, "send"])
    if name == "wake":
        return (pick([None, "api", "places"]),)
    return (pick([1, 1_000, 1_000_000, 5_000_000]),)


def _parking(chance: random.Random) -> tuple[int, int, int, bool, int, int]:
    pick, number = chance.choice, chance.randrange
    return (
        number(5),
        number(5),
        number(4),
        pick([False, True]),
        pick([0, 0, 0, 3, 255]),
        pick([0, 1, 5, 10**9]),
    )
