"""c. What an idle worker asks Redis, whatever waits that is not due."""

from __future__ import annotations

import time
from typing import Any

from ..report.measured import Measured, at_most
from .crew import NOTHING, Size
from .effort import Effort
from .setup import LIMITED
from .stage import NEVER, Stage, new_name, stage

__all__ = ["measure"]

MOST_PER_SECOND = 2.0
QUIET_SECONDS = 2.0
WATCHING = {"config", "info"}
"""Commands with which the benchmark itself looks at Redis."""


def measure(effort: Effort) -> list[Measured]:
    """All that runs in the Redis of limits and backlog, inside of scripts and without."""
    group = f"c. {effort.groups:,} groups that are not due, an idle worker"
    with stage(apart=True) as one:
        queue, label = new_name(), new_name()
        users = range(effort.groups)
        one.post.fill(
            queue, [(LIMITED, (label, user, str(user))) for _ in range(2) for user in users]
        )
        with one.crew(NEVER, Size(workers=1, processes=4)) as crew:
            crew.consume(queue)
            crew.cancel(NOTHING)  # It asks for each queue that it consumes.
            one.wait_until_taken(queue, crew)
            one.wait_for_starts(label, effort.groups, crew)
            time.sleep(QUIET_SECONDS)
            commands = _watched(one, effort.idle_seconds)
        groups = one.backlog.sizes(queue).groups
    return [
        Measured(group, "groups", [groups], ""),
        Measured(
            group,
            "Redis commands",
            [sum(commands.values()) / effort.idle_seconds],
            "/s",
            at_most(MOST_PER_SECOND),
            judged=effort.is_judged,
        ),
        *(
            Measured(group, f"  {name}", [calls / effort.idle_seconds], "/s")
            for name, calls in sorted(commands.items())
        ),
    ]


def _watched(stage: Stage, seconds: float) -> dict[str, int]:
    """How often each command ran in a time."""
    stage.limits.config_resetstat()
    time.sleep(seconds)
    stats: dict[str, Any] = stage.limits.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}
    return {name: one for name, one in calls.items() if name.partition("|")[0] not in WATCHING}
