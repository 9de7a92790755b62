"""Tasks that die with their worker and do not come again: nobody lives who could tell of the end.

A message that is acknowledged late comes again. One that was acknowledged when its task began does
not, so who runs it is noted before that, and counts as long as that worker lives.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from ..backlog import Backlog
from .store import QueueStore

__all__ = ["Runner", "settle_lost"]


class Runner(NamedTuple):
    """Who runs a task: ``worker`` by the name under which it says that it lives."""

    worker: str
    queue: str
    task_id: str

    def packed(self) -> bytes:
        """The note as Redis keeps it."""
        return json.dumps(self).encode()

    @classmethod
    def read(cls, note: bytes) -> Runner:
        """What was packed."""
        worker, queue, task_id = json.loads(note)
        return cls(worker, queue, task_id)


def settle_lost(store: QueueStore, backlog: Backlog, counter: str) -> int:
    """Counts the tasks of workers that do not live any more; how many.

    One that the backlog still has comes again: its worker died before that was told.
    """
    notes = {Runner.read(note): note for note in store.begun()}
    if not notes:
        return 0
    workers = sorted({runner.worker for runner in notes})
    lives = dict(zip(workers, backlog.alive(workers), strict=True))
    lost = [runner for runner in notes if not lives[runner.worker]]
    return sum(
        store.lose(
            one.queue, one.task_id, notes[one], "" if _is_kept(one, store, backlog) else counter
        )
        for one in lost
    )


def _is_kept(runner: Runner, store: QueueStore, backlog: Backlog) -> bool:
    record = store.get(runner.queue)
    return record is not None and backlog.locate(runner.task_id, record.target) is not None
