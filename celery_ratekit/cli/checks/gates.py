"""Whether somebody takes out of the backlog what waits there."""

from __future__ import annotations

from collections.abc import Iterator

from .facts import Facts, WorkerFacts
from .finding import Finding, error, ok, warning

__all__ = ["NAME", "check"]

NAME = "gate"


def check(facts: Facts) -> Iterator[Finding]:
    """Workers without the gate, against what waits."""
    without = sorted(name for name, one in facts.workers.items() if one.seen.gate != "on")
    stuck = {
        queue: count
        for queue, count in sorted(facts.waiting.items())
        if count and not any(_pulls(one, queue) for one in facts.workers.values())
    }
    for queue, count in stuck.items():
        yield _stuck(queue, count, facts.throttled.get(queue, 0))
    if without and facts.limits:
        yield warning(
            f"{len(without)} of {len(facts.workers)} workers run without the gate: "
            f"{', '.join(without[:3])}{' ...' if len(without) > 3 else ''}",
            "upgrade and restart them, with ratekit_gate and ratekit_enabled on",
        )
    elif not facts.workers and not stuck:
        yield ok("no worker answers, and nothing waits in the backlog")
    elif not stuck:
        yield ok(f"all workers that answer ({len(facts.workers)}) have the gate")


def _stuck(queue: str, count: int, throttled: int) -> Finding:
    """What nobody takes out; a dispatcher, which nobody can ask, may take out throttled queues."""
    said = (
        f"{count:,} tasks wait in the backlog of {queue!r:.80}, and no worker that answers takes "
        "them out"
    )
    if throttled >= count:
        return warning(
            f"{said}; all are of throttled queues",
            "see that a dispatcher runs, or start a worker with the gate that consumes it",
        )
    return error(
        said,
        "start a worker with the gate that consumes it, or send them back to the broker with "
        "`celery-ratekit backlog release`",
    )


def _pulls(worker: WorkerFacts, queue: str) -> bool:
    return worker.seen.gate == "on" and queue in worker.queues
