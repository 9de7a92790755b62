"""Whether held tasks can fill the windows of workers, or windows have no bound."""

from __future__ import annotations

from collections.abc import Iterator

from .facts import Facts, WorkerFacts
from .finding import Finding, ok, warning

__all__ = ["NAME", "check"]

NAME = "prefetch"


def check(facts: Facts) -> Iterator[Finding]:
    """The configured window, and how full those of live workers are."""
    if not facts.holds:
        yield ok("tasks that wait are not held in workers")
        return
    if facts.prefetch_multiplier == 0:
        yield warning(
            "worker_prefetch_multiplier is 0: a worker fetches every message of its queues and "
            "holds those that must wait",
            'set it to 1 or more, or ratekit_overflow to "backlog"',
        )
    full = sorted(name for name, worker in facts.workers.items() if _is_full(worker))
    for name in full:
        yield warning(
            f"{name} holds as many tasks as it may fetch: nothing else of its queues comes through",
            'give limited tasks a queue of their own, or set ratekit_overflow to "backlog"',
        )
    if not full and facts.prefetch_multiplier:
        yield ok("no worker's window is full of tasks that wait")


def _is_full(worker: WorkerFacts) -> bool:
    held = sum(worker.seen.held.values())
    return bool(worker.prefetch) and held >= (worker.prefetch or 0)
