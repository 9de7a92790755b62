"""What people see of the backlog, and what they remove from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from .caller import Caller, in_pieces
from .ids import hash8, raw, task_id_bytes, text
from .records import GroupInfo, read_info, read_record, task_id_of
from .registry import Registry
from .scripts import LOCATE, OLDEST, PEEK, PURGE
from .values import Location, Sizes, Waiting

__all__ = ["Views"]

MOST_PEEKED = 100
PIECE_GROUPS = 200
PURGED_AT_ONCE = 500
"""How many entries one script removes, so that nobody else waits for long."""

PEEK_PARTS = 5

Told = Callable[[Mapping[str, Sequence[bytes]]], None]


class Views:
    """The backlogs of queues, from outside."""

    def __init__(self, caller: Caller, registry: Registry) -> None:
        self._caller = caller
        self._registry = registry

    def sizes(self, queue: str, most_groups: int | None) -> Sizes:
        found = self._caller.ask(self._caller.of_queue(queue, b"HGETALL", b"s"))
        numbers = {
            text(field): int(number) for field, number in zip(found[::2], found[1::2], strict=True)
        }
        return Sizes(
            waiting=numbers.get("w", 0),
            claimed=numbers.get("c", 0),
            groups=numbers.get("g", 0),
            by_task=_beginning_with("t", numbers),
            by_limit=_beginning_with("n", numbers),
            oldest_age_seconds=self._oldest_age(queue, most_groups) if "w" in numbers else 0.0,
        )

    def waiting_for(self, queue: str, limit_name: str) -> int:
        field = b"n" + raw(limit_name)
        return int(self._caller.ask(self._caller.of_queue(queue, b"HGET", b"s", field)) or 0)

    def peek(self, queue: str, count: int, limit_name: str | None) -> list[Waiting]:
        name = b"" if limit_name is None else raw(limit_name)
        most = b"%d" % max(0, min(count, MOST_PEEKED))
        answer = self._caller.ask(self._caller.script(PEEK, queue, most, name))
        found = []
        for begin in range(0, len(answer), PEEK_PARTS):
            task, entry_id, head, before, limit = answer[begin : begin + PEEK_PARTS]
            record = read_record(head)
            found.append(
                Waiting(
                    queue=queue,
                    task=text(task),
                    task_id=task_id_of(entry_id, record),
                    parked_at=record.parked_us / 1e6,
                    before=before,
                    limit_name=text(limit),
                    entry_id=entry_id,
                )
            )
        return found

    def message(self, queue: str, entry_id: bytes) -> bytes | None:
        record = self._caller.ask(self._caller.of_queue(queue, b"HGET", b"m", entry_id))
        return None if record is None else read_record(record).message

    def locate(self, task_id: str, queue: str) -> Location | None:
        caller = self._caller
        id_bytes, _ = task_id_bytes(task_id)
        answer = caller.ask(caller.script(LOCATE, queue, caller.clock.for_scripts(), id_bytes))
        if not answer:
            return None
        task, head, waits, before, groups_before, due, limit, groups = answer
        parked_us = int.from_bytes(head[2:9], "little")
        return Location(
            queue=queue,
            task=text(task),
            state="waiting" if waits else "claimed",
            parked_at=parked_us / 1e6,
            age_seconds=self._age_seconds(queue, parked_us),
            before=before,
            groups_before=groups_before,
            due_seconds=due / 1e6,
            limit_name=text(limit),
            groups=groups,
        )

    def purge(
        self,
        queue: str,
        *,
        limit_name: str | None,
        key: str | None,
        task: str | None,
        told: Told | None,
    ) -> int:
        def is_meant(info: GroupInfo) -> bool:
            if task is not None and info.task != task:
                return False
            if limit_name is None and key is None:
                return True
            key_hash = None if key is None else hash8(key)
            return any(
                limit_name in (None, name) and key_hash in (None, one) for name, one in info.limits
            )

        groups = ((group, info) for group, info in self._groups(queue) if is_meant(info))
        return sum(self._purge(queue, piece, told) for piece in in_pieces(groups, PIECE_GROUPS))

    def _purge(self, queue: str, groups: list[tuple[bytes, GroupInfo]], told: Told | None) -> int:
        most = b"%d" % PURGED_AT_ONCE
        command = self._caller.script(PURGE, queue, most, *(group for group, _ in groups))
        removed, piece = 0, PURGED_AT_ONCE
        while piece == PURGED_AT_ONCE:
            piece, is_drained, gone = self._caller.ask(command)
            removed += piece
            if told is not None:
                told(_by_limit(groups, gone))
            if is_drained:
                self._registry.drained(queue)
        return removed

    def _oldest_age(self, queue: str, most_groups: int | None) -> float:
        """Looks into every group: the oldest may stand behind newer ones that come first."""
        caller = self._caller
        groups = (group for group, _ in islice(self._groups(queue), most_groups))
        found: list[int] = [
            answer
            for piece in in_pieces(groups, PIECE_GROUPS)
            if (answer := caller.ask(caller.script(OLDEST, queue, *piece))) is not None
        ]
        if not found:
            return 0.0
        return self._age_seconds(queue, min(found))

    def _age_seconds(self, queue: str, parked_us: int) -> float:
        caller = self._caller
        if not caller.clock.is_fresh:
            seconds, us = caller.ask(caller.time(queue))
            caller.clock.learn(int(seconds) * 1_000_000 + int(us))
        return max(0.0, (caller.clock.now_us() - parked_us) / 1e6)

    def _groups(self, queue: str) -> Iterator[tuple[bytes, GroupInfo]]:
        for found in self._caller.scan(b"HSCAN", self._caller.prefix(queue) + b"i"):
            for group, info in zip(found[::2], found[1::2], strict=True):
                yield group, read_info(info)


def _beginning_with(letter: str, numbers: dict[str, int]) -> dict[str, int]:
    return {
        field[1:]: number for field, number in sorted(numbers.items()) if field.startswith(letter)
    }


def _by_limit(
    groups: Sequence[tuple[bytes, GroupInfo]], gone: Sequence[Any]
) -> dict[str, list[bytes]]:
    """Sixteen bytes of each removed task's id, under the names of its limits."""
    found: dict[str, list[bytes]] = {}
    for number, task_id in zip(gone[::2], gone[1::2], strict=True):
        for name in dict(groups[number][1].limits):
            found.setdefault(name, []).append(task_id)
    return found
