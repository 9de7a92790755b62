"""A run: sends, kills and replaces for a time, lets all come to rest, and judges."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery_ratekit.backlog import Backlog
from celery_ratekit.embedded.home import Home
from celery_ratekit.errors import EmbeddedServerError
from celery_ratekit.limiter.breaker import Degradation
from celery_ratekit.limiter.keys import KeySpace
from celery_ratekit.limiter.transport import transport_for

from .book import Book, Line
from .broker_trace import read_traces
from .crew import Crew
from .killing import CALM, REDIS_PID
from .plan import Chaos, Step, Victim, kills_in_turn
from .sender import QUEUE, Sender
from .servers import VISIBILITY_SECONDS, Servers
from .verdict import Verdict, judge

__all__ = ["run"]

TICK_SECONDS = 0.02
NAMESPACE = "ratekit"

REST_SECONDS = 1.0
"""So long nothing may have happened before a run counts as over, where the broker tells."""

READY_SECONDS = 60.0

VICTIMS = (Victim.WORKER, Victim.PARENT, Victim.CHILD, Victim.REDIS)


class Run:
    """One run on servers that run already."""

    def __init__(self, chaos: Chaos, servers: Servers, home: Home) -> None:
        self._chaos = chaos
        self._servers = servers
        self._home = home.path
        self._book = Book(home.path, "run")
        self._crew = Crew(home, servers, chaos, kills_in_turn(chaos))
        self._sender = Sender(chaos, servers, lambda: servers.redis.alive)
        self._chance = random.Random(f"run {chaos.seed}")

    def carry_out(self, rest_seconds: float) -> Verdict:
        """Does all of it; raises EmbeddedServerError where it does not come to rest in time."""
        self._note_redis()
        self._start()
        self._rage()
        (self._home / CALM).touch()
        self._wait_for_rest(rest_seconds)
        return self._judged()

    def lines(self) -> list[Line]:
        return self._book.lines()

    def close(self) -> None:
        self._crew.close()
        self._sender.close()
        self._book.close()

    # -- while it lasts ---------------------------------------------------------------------

    def _start(self) -> None:
        self._crew.fill_up()
        deadline = time.monotonic() + READY_SECONDS
        while not any(line.word == "ready" for line in self._book.lines()):
            if time.monotonic() > deadline:
                raise EmbeddedServerError("no worker became ready")
            time.sleep(TICK_SECONDS)

    def _rage(self) -> None:
        end = time.monotonic() + self._chaos.seconds
        next_kill = self._next_kill(time.monotonic())
        while (now := time.monotonic()) < end:
            self._repair(armed=True)
            self._sender.send_due(now)
            if now >= next_kill:
                self._kill_somebody()
                next_kill = self._next_kill(now)
            time.sleep(TICK_SECONDS)

    def _next_kill(self, now: float) -> float:
        return now + self._chance.expovariate(1 / self._chaos.random_seconds)

    def _kill_somebody(self) -> None:
        victim = self._chance.choice(VICTIMS)
        member = self._chance.choice(self._crew.members)
        step = Step.RANDOM.value
        if victim is Victim.CHILD:
            pid = member.kill_child(self._chance)
            if pid is not None:
                self._book.note("kill:child", more=step, worker=member.name, pid=pid)
            return
        self._book.note(f"kill:{victim.value}", more=step, worker=member.name)
        if victim is Victim.REDIS:
            self._servers.redis.kill()
        elif victim is Victim.PARENT:
            member.kill_parent()
        else:
            member.kill()

    def _repair(self, *, armed: bool) -> None:
        """Brings Redis back, and replaces workers."""
        if not self._servers.redis.alive:
            self._servers.redis.restart()
            self._note_redis()
            self._book.note("back")
        self._crew.fill_up(armed=armed)

    def _note_redis(self) -> None:
        (self._home / REDIS_PID).write_text(str(self._servers.redis.pid))

    # -- after it ---------------------------------------------------------------------------

    def _wait_for_rest(self, seconds: float) -> None:
        """Waits until everything has run, or nothing is left that could."""
        deadline = time.monotonic() + seconds
        quiet_since = time.monotonic()
        with self._backlog() as backlog, self._servers.redis.client() as client:
            while True:
                now = time.monotonic()
                self._repair(armed=False)
                busy = self._busy(backlog, client)
                if busy:
                    quiet_since = now
                elif now - quiet_since > REST_SECONDS and now - quiet_since > self._quiet_seconds():
                    return
                if now > deadline:
                    raise EmbeddedServerError(f"no rest within {seconds:g} s: {busy}")
                time.sleep(5 * TICK_SECONDS)

    def _quiet_seconds(self) -> float:
        """How long nothing may be to do before nothing more will come."""
        if self._servers.rabbitmq is None:
            return REST_SECONDS
        # A queue of RabbitMQ does not tell what its consumers have.
        begun = {line.task_id for line in self._book.lines() if line.word == "begin"}
        return REST_SECONDS if self._sender.accepted <= begun else VISIBILITY_SECONDS

    def _busy(self, backlog: Backlog, client: Any) -> str:
        """What is still to be done; empty where nothing is."""
        sizes = backlog.sizes(QUEUE)
        if sizes.waiting or sizes.claimed:
            return str(sizes)
        if self._servers.rabbitmq is None and client.exists(QUEUE, "unacked"):
            return f"{client.llen(QUEUE)} in the queue, {client.hlen('unacked')} delivered"
        return ""

    def _judged(self) -> Verdict:
        servers = self._servers
        is_broker = servers.rabbitmq is None
        traces = read_traces(servers.append_only_files(), QUEUE) if is_broker else None
        verdict = judge(self._book.lines(), self._sender.accepted, traces, self._chaos.per_second)
        verdict.uncertain = len(self._sender.uncertain)
        with servers.redis.client() as client:
            for pattern in (f"{NAMESPACE}:b*", f"{NAMESPACE}:q*"):
                verdict.left += [repr(key) for key in client.scan_iter(pattern, 1_000)]
        return verdict

    @contextmanager
    def _backlog(self) -> Iterator[Backlog]:
        transport = transport_for(self._servers.redis.url, 2.0, Degradation())
        try:
            yield Backlog(transport, KeySpace(NAMESPACE))
        finally:
            transport.close()


def run(
    chaos: Chaos, servers: Servers, *, rest_seconds: float, keep: Path | None = None
) -> Verdict:
    """What a run came to; its book and its workers' logs are kept in a folder, if one is given."""
    home = Home()
    one = Run(chaos, servers, home)
    try:
        return one.carry_out(rest_seconds)
    finally:
        one.close()
        if keep is not None:
            _copy(home.path, keep)
        home.close()


def _copy(home: Path, keep: Path) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    for path in [home / "book", *home.glob("*.log")]:
        (keep / path.name).write_bytes(path.read_bytes())
