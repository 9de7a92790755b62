"""c. What a dispatcher asks Redis while nothing waits in its queues."""

from __future__ import annotations

import time

from ..report.measured import Measured, at_most
from .effort import Effort
from .stage import Stage, stage

__all__ = ["measure"]

MOST_PER_SECOND = 2.0
QUIET_SECONDS = 2.0


def measure(effort: Effort) -> list[Measured]:
    """All commands that run, inside of scripts and without."""
    with stage() as one:
        for number in range(effort.idle_queues):
            one.throttle.create_queue("1/s", f"q{number}")
        one.start_dispatcher()
        one.wait("a dispatcher that listens", lambda: _listeners(one) > 0)
        time.sleep(QUIET_SECONDS)
        before = one.commands()
        time.sleep(effort.idle_seconds)
        commands = one.commands() - before - 1  # The count itself is one.
    return [
        Measured(
            f"c. {effort.idle_queues:,} idle queues",
            "Redis commands",
            [commands / effort.idle_seconds],
            "/s",
            at_most(MOST_PER_SECOND),
            judged=effort.is_judged,
        )
    ]


def _listeners(stage: Stage) -> int:
    channel = stage.throttle.runtime.limiter.overrides.channel
    return int(stage.limits.pubsub_numsub(channel)[0][1])
