"""The workers of a run: who is dead is replaced by a new one, with something new to kill."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator

import psutil

from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.process import ServerProcess

from ..environment import environment_of
from .plan import Chaos, Kill, WorkerPlan
from .servers import Servers

__all__ = ["Crew", "Member"]

ORPHANS_SECONDS = 0.3
"""How long children whose parent was killed may go on: longer than a body takes."""


class Member:
    """One worker."""

    def __init__(self, home: Home, plan: WorkerPlan, processes: int) -> None:
        self.name = plan.name
        self._died_at: float | None = None
        self.log = home.path / f"{plan.name}.log"
        self._process = ServerProcess(
            home,
            [
                *(sys.executable, "-m", "celery", "-A", "benchmarks.chaos.worker_app", "worker"),
                *("--pool", "prefork", "--concurrency", str(processes)),
                *("--hostname", f"{plan.name}@localhost", "--loglevel", "INFO"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            log=self.log,
            env=environment_of(home, plan.environment()),
        )

    @property
    def alive(self) -> bool:
        """Whether the parent lives, or died a moment ago: its children may go on for so long."""
        if self._died_at is None and _has_ended(self._process.pid):
            self._died_at = time.monotonic()
        return self._died_at is None or time.monotonic() - self._died_at < ORPHANS_SECONDS

    def kill(self) -> None:
        """Kills the parent and its children at once."""
        self._process.kill()

    def kill_parent(self) -> None:
        """Kills the parent alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)

    def kill_child(self, chance: random.Random) -> int | None:
        """Kills one child, and tells which it was."""
        try:
            pids = sorted(child.pid for child in psutil.Process(self._process.pid).children())
            pid = chance.choice(pids)
            os.kill(pid, signal.SIGKILL)
        except (psutil.NoSuchProcess, ProcessLookupError, IndexError):
            return None
        return pid


class Crew:
    """All workers of a run; ``kills`` gives each new one what it is to kill."""

    def __init__(
        self, home: Home, servers: Servers, chaos: Chaos, kills: Iterator[tuple[Kill, ...]]
    ) -> None:
        self._home = home
        self._servers = servers
        self._chaos = chaos
        self._kills = kills
        self._count = 0
        self.members: list[Member] = []

    def fill_up(self, *, armed: bool = True) -> None:
        """Replaces who is dead."""
        for member in self.members:
            if not member.alive:
                member.kill()  # what it left
        self.members = [member for member in self.members if member.alive]
        while len(self.members) < self._chaos.workers:
            self.members.append(self._launch(next(self._kills) if armed else ()))

    def close(self) -> None:
        for member in self.members:
            member.kill()

    def _launch(self, kills: tuple[Kill, ...]) -> Member:
        plan = WorkerPlan(
            name=f"w{self._count}",
            home=str(self._home.path),
            broker_url=self._servers.broker_url,
            limits_url=self._servers.redis.url,
            acks=self._chaos.acks,
            per_second=self._chaos.per_second,
            kills=kills,
        )
        self._count += 1
        return Member(self._home, plan, self._chaos.processes)


def _has_ended(pid: int) -> bool:
    """Whether a child of ours has ended; it is not reaped for that, and so keeps its id."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
