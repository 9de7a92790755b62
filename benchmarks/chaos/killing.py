"""Kills at chosen steps, in the worker that takes them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from pathlib import Path

from .book import Book
from .plan import Step, Victim, WorkerPlan

__all__ = ["CALM", "REDIS_PID", "Killer"]

CALM = "calm"
"""A file of this name in the home of a run ends all killing."""

REDIS_PID = "redis.pid"


class Killer:
    """Carries out the kills of one worker, one after the other."""

    def __init__(self, plan: WorkerPlan, book: Book) -> None:
        self._kills = deque(plan.kills)
        self._home = Path(plan.home)
        self._book = book
        self._passed = 0

    def passing(self, step: Step, task_id: str = "-") -> None:
        """Kills here, if it is the turn of this step."""
        if not self._kills or self._kills[0].step is not step:
            return
        self._passed += 1
        if self._passed < self._kills[0].passes or (self._home / CALM).exists():
            return
        kill = self._kills.popleft()
        self._passed = 0
        self._book.note(f"kill:{kill.victim.value}", task_id, step.value)
        with contextlib.suppress(ProcessLookupError):  # Redis may be dead already.
            self._kill(kill.victim)

    def _kill(self, victim: Victim) -> None:
        is_child = os.getpid() != os.getpgid(0)  # A worker leads a group of its own.
        if victim is Victim.WORKER:
            os.killpg(os.getpgid(0), signal.SIGKILL)
        elif victim is Victim.PARENT:
            os.kill(os.getppid() if is_child else os.getpid(), signal.SIGKILL)
        elif victim is Victim.CHILD:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            os.kill(int((self._home / REDIS_PID).read_text()), signal.SIGKILL)
