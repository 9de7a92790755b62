"""What the tasks and workers write into Redis, and the demo reads there.

Moments are ``time.time()`` of the machine on which everything runs: the same clock as Redis' TIME.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kombu.transport.redis import Channel

__all__ = ["Journal", "Start"]

READY = "demo:ready"  # a list: a name for each worker that can take tasks
STARTS = "demo:starts"  # a list: a line for each start of a task
RESENT = "demo:resent"  # a count: messages that were sent again to wait for their start


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a task: which, when, when the limit had granted it, at which real retry.

    Moments are seconds since 1970; the granted one is Redis' own word.
    """

    number: int
    started_at: float
    granted_at: float
    retries: int

    @property
    def lateness_seconds(self) -> float:
        """How long after its granted moment it came, in seconds."""
        return self.started_at - self.granted_at

    def line(self) -> str:
        """This start as one line of text, which `of_line` reads."""
        return f"{self.number} {self.started_at!r} {self.granted_at!r} {self.retries}"

    @classmethod
    def of_line(cls, line: str) -> Start:
        """The start that `line` wrote."""
        number, started_at, granted_at, retries = line.split()
        return cls(int(number), float(started_at), float(granted_at), int(retries))


class Journal:
    """Writes and reads through a redis-py client; a reader gets every start once."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._read = 0

    def write_ready(self, worker: str) -> None:
        self._client.rpush(READY, worker)

    def write_start(self, start: Start) -> None:
        self._client.rpush(STARTS, start.line())

    def write_resent(self) -> None:
        self._client.incr(RESENT)

    def one_more_is_ready(self, timeout_seconds: float) -> bool:
        """Whether a worker not yet seen became ready within the time."""
        return self._client.blpop([READY], timeout=timeout_seconds) is not None

    def new_starts(self) -> list[Start]:
        """The starts since the last call."""
        lines = self._client.lrange(STARTS, self._read, -1)
        self._read += len(lines)
        return [Start.of_line(line.decode()) for line in lines]

    def held(self) -> int:
        """How many messages workers have taken and not yet passed on to their processes.

        They acknowledge a message when a process takes its task; until then the broker lists it.
        """
        return int(self._client.hlen(Channel.unacked_key))

    def resent(self) -> int:
        """How many messages were sent again."""
        return int(self._client.get(RESENT) or 0)
