"""On which cores client and server run: left to itself, the system changes its mind in mid-run.

A call takes three times as long where a sleeping core has to be woken up for it, so that a run
without placement mixes two kinds of measurement.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["APART", "FREE", "TOGETHER", "placed", "possible"]

APART, TOGETHER, FREE = "a core each", "one core for both", "where the system puts them"


def possible() -> bool:
    """Whether this system lets processes be placed, and has two cores for them."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1


@contextmanager
def placed(server_pid: int, where: str) -> Iterator[None]:
    """Keeps this thread and the server's to their cores for a while."""
    if where == FREE or not possible():
        yield
        return
    before = os.sched_getaffinity(0)
    first, *_, last = sorted(before)
    try:
        os.sched_setaffinity(0, {first})
        os.sched_setaffinity(server_pid, {last if where == APART else first})
        yield
    finally:
        os.sched_setaffinity(0, before)
        os.sched_setaffinity(server_pid, before)
