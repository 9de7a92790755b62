"""The throttled queues of one prefix, in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..backlog.caller import in_pieces
from ..backlog.ids import raw, task_id_bytes, text
from ..limiter.keys import KeySpace
from ..limiter.resp import pack
from ..limiter.scripts import Script
from ..limiter.steps import Command
from ..limiter.transport import Transport
from .places import QueuePlace, checked_prefix
from .records import QueueRecord
from .scripts import BEGIN, CHANGE, CLOSE, CREATE, EXPIRE, LOSE, OPEN, REDEEM, REMOVE, TOUCH

__all__ = ["IDLE_SECONDS", "MOST_QUEUES", "Counts", "QueueStore"]

IDLE_SECONDS = 3_600.0
"""How long an auto-named queue that holds nothing stays after its last use."""

MOST_QUEUES = 1_000_000
"""How many queues one prefix may have."""

LOOKED_AT_ONCE = 100
OPENED_AT_ONCE = 1_000
PAID, DISPATCHED = b"p", b"d"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks of a queue are open (waiting or on their way), and what was counted."""

    open: int = 0
    counted: dict[str, int] = field(default_factory=dict)


class QueueStore:
    """Knows all that is kept of the queues of one prefix.

    ``clock`` gives whole microseconds since 1970; None: the server's own clock. All data lies in
    one slot of a cluster. All methods raise LimiterUnavailableError where there is no answer.
    """

    def __init__(
        self,
        transport: Transport,
        keys: KeySpace,
        prefix: str,
        *,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.prefix = checked_prefix(prefix)
        self._transport = transport
        self._clock = clock
        begin = keys.throttled(self.prefix).encode()
        self._queues, self._used, self._version = begin + b"r", begin + b"u", begin + b"v"
        self._open, self._counters, self._begun = begin + b"o", begin + b"c", begin + b"b"
        self._part = keys.part

    def place(self, name: str) -> QueuePlace:
        """Where the queue of a name stands."""
        return QueuePlace(self.prefix, name)

    # -- queues -----------------------------------------------------------------------------

    def create(self, record: QueueRecord) -> int:
        """1: it was made; 0: there is one of that name; -1: there are too many."""
        is_auto = b"1" if record.is_auto_named else b"0"
        arguments = (record.packed(), is_auto, b"%d" % MOST_QUEUES)
        return int(self._run(CREATE, record.place.name, *arguments))

    def get(self, name: str) -> QueueRecord | None:
        """The queue of that name."""
        packed = self._ask(self._queues, b"HGET", raw(name))
        return None if packed is None else QueueRecord.read(self.place(name), packed)

    def get_many(self, names: Sequence[str]) -> dict[str, QueueRecord]:
        """Those of the names that are queues, in one round trip."""
        if not names:
            return {}
        found = self._ask(self._queues, b"HMGET", *map(raw, names))
        return {
            name: QueueRecord.read(self.place(name), packed)
            for name, packed in zip(names, found, strict=True)
            if packed is not None
        }

    def change(self, name: str, change: Callable[[QueueRecord], QueueRecord]) -> QueueRecord | None:
        """The queue after ``change``, which may be called again; None where there is none."""
        found = self._ask(self._queues, b"HGET", raw(name))
        while found is not None:
            changed = change(QueueRecord.read(self.place(name), found))
            answer = self._run(CHANGE, name, found, changed.packed())
            if answer == 1:
                return changed
            found = answer
        return None

    def remove(self, name: str) -> bool:
        """Whether there was such a queue."""
        return int(self._run(REMOVE, name)) == 1

    def all(self) -> Iterator[QueueRecord]:
        """Every queue; those that are made or removed meanwhile may be there or not."""
        cursor = b"0"
        while True:
            cursor, found = self._ask(self._queues, b"HSCAN", cursor, b"COUNT", b"1000")
            for name, packed in zip(found[::2], found[1::2], strict=True):
                yield QueueRecord.read(self.place(text(name)), packed)
            if cursor == b"0":
                return

    def version(self) -> bytes | None:
        """What is another whenever a queue was changed or removed."""
        version: bytes | None = self._ask(self._version, b"GET")
        return version

    def expire(self) -> int:
        """Removes auto-named queues that hold nothing and are idle for an hour; how many."""
        removed, looked_at = 0, LOOKED_AT_ONCE
        idle_us = b"%d" % int(IDLE_SECONDS * 1e6)
        while looked_at == LOOKED_AT_ONCE:
            some, looked_at = self._run(EXPIRE, "", idle_us, b"%d" % LOOKED_AT_ONCE)
            removed += some
        return removed

    # -- tasks ------------------------------------------------------------------------------

    def touching(self, name: str) -> Command:
        """Takes note that a queue is used; answers what `read` makes a record of."""
        return self._command(TOUCH, name)

    def read(self, name: str, answer: Any) -> QueueRecord | None:
        """The queue that an answer to `touching` tells of."""
        return None if answer is None else QueueRecord.read(self.place(name), answer)

    def opening(
        self,
        name: str,
        task_ids: Sequence[str],
        charge_us: int | None = None,
        *,
        is_dispatched: bool = False,
    ) -> list[Command]:
        """Takes note that tasks are on their way.

        ``charge_us``: when they were charged, if they were, by Redis' clock. ``is_dispatched``: a
        dispatcher has limited them, so that they are not charged again, however late they start.
        Each command answers 1, or 0 where the queue is gone.
        """
        kind = DISPATCHED if is_dispatched else PAID
        value = b"" if charge_us is None else kind + b"%d" % charge_us
        ids = [task_id_bytes(one)[0] for one in task_ids]
        pieces = in_pieces(ids, OPENED_AT_ONCE)
        return [self._command(OPEN, name, value, *piece) for piece in pieces]

    def close(self, name: str, task_id: str, counter: str = "") -> bool:
        """Takes note that a task is over, and counts it; whether it was open until now."""
        arguments = (raw(counter), task_id_bytes(task_id)[0])
        return int(self._run(CLOSE, name, *arguments)) == 1

    def close_all(self, name: str, ids: Sequence[bytes], counter: str) -> None:
        """The same for many, in one round trip, by the 16 bytes that stand for their ids."""
        self.ask_all([self._command(CLOSE, name, raw(counter), one) for one in ids])

    def redeem(self, name: str, task_id: str) -> tuple[int, int] | None:
        """When a task was charged that was sent, and how long ago (us); None the second time.

        -1 in place of how long ago: a dispatcher sent it.
        """
        answer = self._run(REDEEM, name, task_id_bytes(task_id)[0])
        return None if answer is None else (int(answer[0]), int(answer[1]))

    def begin(self, name: str, task_id: str, note: bytes) -> bool:
        """Notes who runs a task of whose end nobody else would tell; whether it is open."""
        return int(self._run(BEGIN, name, task_id_bytes(task_id)[0], note)) == 1

    def pause(self, task_id: str) -> None:
        """Takes note that a task does not run any more, and comes again."""
        self._ask(self._begun, b"HDEL", task_id_bytes(task_id)[0])

    def begun(self) -> list[bytes]:
        """The notes of all such tasks that run."""
        notes: list[bytes] = self._ask(self._begun, b"HVALS")
        return notes

    def lose(self, name: str, task_id: str, note: bytes, counter: str) -> bool:
        """Forgets a note, and counts its task as over if there is a counter; whether it did."""
        arguments = (task_id_bytes(task_id)[0], note, raw(counter))
        return int(self._run(LOSE, name, *arguments)) == 1

    def count(self, name: str, counter: str, by: int) -> int:
        """Adds to a counter of a queue; what it says then."""
        key = self._counters + self._part(name).encode()
        return int(self._ask(key, b"HINCRBY", raw(counter), b"%d" % by))

    def counts(self, names: Sequence[str]) -> list[Counts]:
        """What each queue has, in one round trip."""
        commands = []
        for name in names:
            part = self._part(name).encode()
            commands.append(_plain(self._open + part, b"HLEN"))
            commands.append(_plain(self._counters + part, b"HGETALL"))
        answers = self.ask_all(commands)
        return [
            Counts(
                open=answers[at],
                counted={
                    text(counter): int(number)
                    for counter, number in zip(
                        answers[at + 1][::2], answers[at + 1][1::2], strict=True
                    )
                },
            )
            for at in range(0, len(answers), 2)
        ]

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers in one round trip; raises the first error."""
        answers = self._transport.ask_many(commands) if commands else []
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _ask(self, key: bytes, name: bytes, *arguments: bytes) -> Any:
        return self._transport.ask(*_plain(key, name, *arguments))

    def _run(self, script: Script, name: str, *arguments: bytes) -> Any:
        return self._transport.ask(*self._command(script, name, *arguments))

    def _command(self, script: Script, name: str, *arguments: bytes) -> Command:
        part = self._part(name).encode() if name else b""
        keys = (
            self._queues,
            self._used,
            self._version,
            self._open + part,
            self._counters + part,
            self._begun,
        )
        clock = b"0" if self._clock is None else b"%d" % self._clock()
        packed = pack(
            (b"EVALSHA", script.sha, b"%d" % len(keys), *keys, clock, raw(name), *arguments)
        )
        return Command(self._queues, packed, script)


def _plain(key: bytes, name: bytes, *arguments: bytes) -> Command:
    return Command(key, pack((name, key, *arguments)))
