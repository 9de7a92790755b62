"""What is to happen in a run, and what a worker is told of it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import NamedTuple

__all__ = ["Chaos", "Kill", "Step", "Victim", "WorkerPlan", "kills_in_turn"]

VARIABLE = "RATEKIT_CHAOS_PLAN"

LEAST_OF_A_CHILD = 10
"""Bodies that each child runs before it kills itself: else its worker would get nowhere."""


class Step(str, Enum):
    """Where a worker may kill."""

    RECEIVE_STORE = "between receive and store"
    STORE_ACK = "between store and acknowledge"
    CLAIM_START = "between claim and start"
    BODY = "while a body runs"
    END_REMOVAL = "between end and removal"
    RANDOM = "at a random moment"


class Victim(str, Enum):
    """Who is killed."""

    WORKER = "worker"  #: the parent and all its children at once, as with a lost machine
    PARENT = "parent"  #: alone: its children go on with their bodies
    CHILD = "child"
    REDIS = "redis"


class Kill(NamedTuple):
    """Kill a victim when the step is passed for the ``passes``-th time."""

    step: Step
    victim: Victim
    passes: int


@dataclass(frozen=True, slots=True)
class Chaos:
    """A run: the same seed kills at the same steps, as far as the machine lets it.

    ``per_second`` is the rate of each of the ``users``. ``passes`` is how often a step is passed
    at most before it kills, ``random_seconds`` the mean time between kills at random moments.
    """

    seconds: float
    seed: int
    broker: str
    acks: str
    users: int = 4
    per_second: float = 20.0
    workers: int = 3
    processes: int = 3
    passes: int = 120
    random_seconds: float = 4.0
    body_seconds: float = 0.03


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What one worker has to know. ``home`` is where the book is, and who Redis is."""

    name: str
    home: str
    broker_url: str
    limits_url: str
    acks: str
    per_second: float
    kills: tuple[Kill, ...]

    def environment(self) -> dict[str, str]:
        """What `of_environment` reads in the worker."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def of_environment(cls) -> WorkerPlan:
        values = json.loads(os.environ[VARIABLE])
        kills = tuple(
            Kill(Step(step), Victim(victim), passes) for step, victim, passes in values.pop("kills")
        )
        return cls(**values, kills=kills)


def kills_in_turn(chaos: Chaos) -> Iterator[tuple[Kill, ...]]:
    """What each new worker is to kill: all steps come once before any comes again."""
    chance = random.Random(f"plan {chaos.seed}")
    while True:
        kinds = [*_kinds()]
        chance.shuffle(kinds)
        for step, victim in kinds:
            first = Kill(step, victim, _passes(chance, chaos, step))
            if victim is Victim.CHILD:  # Each new child kills itself again.
                first = first._replace(passes=max(first.passes, LEAST_OF_A_CHILD))
            # A worker whose Redis was killed lives on, and is next itself.
            after = Kill(step, Victim.WORKER, _passes(chance, chaos, step))
            yield (first, after) if victim is Victim.REDIS else (first,)


def _kinds() -> Sequence[tuple[Step, Victim]]:
    steps = [step for step in Step if step is not Step.RANDOM]
    kinds = [(step, victim) for step in steps for victim in (Victim.WORKER, Victim.REDIS)]
    return [*kinds, (Step.BODY, Victim.CHILD), (Step.BODY, Victim.PARENT)]


def _passes(chance: random.Random, chaos: Chaos, step: Step) -> int:
    # Each child counts its own bodies.
    most = chaos.passes // chaos.processes if step is Step.BODY else chaos.passes
    return chance.randint(1, max(1, most))
