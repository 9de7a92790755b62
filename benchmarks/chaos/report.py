"""What a run came to, for people to read."""

from __future__ import annotations

from .plan import Chaos, Step
from .verdict import Verdict

__all__ = ["as_text"]


def as_text(chaos: Chaos, verdict: Verdict) -> str:
    """Kills by step and victim, what became of the tasks, and what is wrong."""
    lines = [
        f"{chaos.seconds:g} s of kills, seed {chaos.seed}, {chaos.broker}, {chaos.acks} acks",
        "",
        *_kills(verdict),
        "",
        f"{verdict.accepted:7,} tasks accepted ({verdict.uncertain} more while Redis was killed)",
        f"{verdict.begun:7,} ran",
        f"{len(verdict.not_noted):7,} taken from Redis by kombu and not noted by it",
        f"{len(verdict.not_begun):7,} acknowledged early, their child killed before the first line",
        f"{len(verdict.lost):7,} lost",
        f"{verdict.in_flight:7,} in flight at the kills",
        f"{verdict.repeated:7,} ran again",
        f"{verdict.stored_twice:7,} of these after they had been parked and not acknowledged",
        f"{verdict.by_pool:7,} of these by their pool, which had not heard of the first child",
        f"{len(verdict.unexplained):7,} ran again without having been in flight",
        f"{max(verdict.beyond.values(), default=0):7.3f} grants at most beyond the rate (burst 1)",
        "",
        *(verdict.faults or ["nothing wrong"]),
    ]
    return "\n".join(lines)


def _kills(verdict: Verdict) -> list[str]:
    return [
        f"{count:7,} x {victim:7} {step.value}"
        for step in Step
        for (of_step, victim), count in sorted(verdict.kills.items())
        if of_step == step.value
    ]
