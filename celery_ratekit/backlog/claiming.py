"""Takes entries out of the backlog, and what a worker does with those that it has."""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from ..limiter.keys import KeySpace
from ..limiter.steps import Command
from ..limits import Limit
from .caller import Caller, in_pieces
from .ids import line_id, raw, task_id_bytes, text
from .parking import packed_groups, wait_us
from .records import read_record
from .registry import Registry
from .scripts import CLAIM, FINISH, GIVE_BACK, TAKE
from .values import Claim, Claimed, Return

__all__ = ["Claims", "claim_of", "rows"]

MOST_AT_ONCE = 1_000
"""How many entries one script claims or finishes."""

MOST_BYTES = b"4194304"
"""How large the messages of one claim may become before the rest waits for the next."""

PIECE_RETURNS = 200
PIECE_TAKEN = 100
RETURN = struct.Struct("<HBddd16s17s")
NO_LINE = bytes(16)
CLAIM_PARTS = 6


class Claims:
    """What workers have claimed."""

    def __init__(self, caller: Caller, registry: Registry) -> None:
        self._caller = caller
        self._registry = registry

    def claim(
        self,
        queue: str,
        worker: str,
        tasks: Sequence[str],
        count: int,
        *,
        within_seconds: float,
        freed: Iterable[Limit],
    ) -> tuple[Claimed, bool]:
        """What was claimed, and whether Redis' clock was found to have stepped back."""
        caller = self._caller
        lines = list(dict.fromkeys(line_id(caller.keys, limit) for limit in freed))
        answer = caller.ask(
            caller.script(
                CLAIM,
                queue,
                caller.clock.for_scripts(),
                raw(worker),
                b"%d" % max(0, min(count, MOST_AT_ONCE)),
                b"%d" % wait_us(within_seconds),
                MOST_BYTES,
                b"%d" % len(lines),
                *lines,
                *(caller.keys.part(task).encode() for task in tasks),
                worker=worker,
            )
        )
        now, stepped_back, due, *rest = answer
        caller.clock.learn(now)
        claims = [
            claim_of(queue, tasks[number], parts, now) for number, *parts in rows(rest, CLAIM_PARTS)
        ]
        return Claimed(claims, math.inf if due < 0 else due / 1e6), stepped_back == 1

    def take(self, queue: str, worker: str, task_ids: Sequence[str]) -> list[Claim]:
        caller = self._caller
        commands = [
            caller.script(TAKE, queue, raw(worker), *piece, worker=worker)
            for piece in in_pieces((task_id_bytes(one)[0] for one in task_ids), PIECE_TAKEN)
        ]
        now = int(caller.clock.now_us()) if caller.clock.is_fresh else 0
        return [
            claim_of(queue, text(task), parts, now)
            for answer in caller.ask_all(commands)
            for task, *parts in rows(answer, CLAIM_PARTS)
        ]

    def finish(self, queue: str, worker: str, entry_ids: Sequence[bytes]) -> int:
        caller = self._caller
        commands = [
            caller.script(FINISH, queue, raw(worker), *piece, worker=worker)
            for piece in in_pieces(entry_ids, MOST_AT_ONCE)
        ]
        answers = caller.ask_all(commands)
        if any(is_drained for _, is_drained in answers):
            self._registry.drained(queue)
        return sum(done for done, _ in answers)

    def give_back(self, worker: str, returns: Sequence[Return]) -> None:
        by_queue: dict[str, list[Return]] = {}
        for one in returns:
            by_queue.setdefault(one.claim.queue, []).append(one)
        self._caller.ask_all(
            [
                self._returning(queue, worker, piece)
                for queue, of_queue in by_queue.items()
                for piece in in_pieces(of_queue, PIECE_RETURNS)
            ]
        )

    def give_back_all(self, queue: str, worker: str, keep: Collection[bytes]) -> int:
        caller = self._caller
        claims = self._caller.claims_key(queue, worker)
        entries = caller.ask(caller.plain(b"ZRANGE", claims, b"0", b"-1"))
        kept = set(keep)
        commands = [
            self._return_command(
                queue,
                worker,
                [b"0", *(RETURN.pack(0, 0, 0, 0, 0, NO_LINE, entry) for entry in piece)],
            )
            for piece in in_pieces((one for one in entries if one not in kept), PIECE_RETURNS)
        ]
        return sum(caller.ask_all(commands))

    def claimers(self, queue: str) -> list[str]:
        workers = self._caller.ask(self._caller.of_queue(queue, b"SMEMBERS", b"c"))
        return sorted(text(worker) for worker in workers)

    def _returning(self, queue: str, worker: str, piece: Sequence[Return]) -> Command:
        keys = self._caller.keys
        groups = list(dict.fromkeys(one.group for one in piece if one.group is not None))
        numbers = {group: number for number, group in enumerate(groups, 1)}
        packed = [
            _packed_return(keys, one, 0 if one.group is None else numbers[one.group])
            for one in piece
        ]
        return self._return_command(queue, worker, [*packed_groups(keys, groups), *packed])

    def _return_command(self, queue: str, worker: str, arguments: Sequence[bytes]) -> Command:
        clock = self._caller.clock.for_scripts()
        return self._caller.script(GIVE_BACK, queue, clock, raw(worker), *arguments, worker=worker)


def _packed_return(keys: KeySpace, one: Return, group_number: int) -> bytes:
    claim, limit = one.claim, one.blocked_by
    return RETURN.pack(
        group_number,
        limit is not None,
        claim.turn,
        wait_us(one.wait_seconds),
        one.asked_us or claim.claimed_us,
        NO_LINE if limit is None else line_id(keys, limit),
        claim.entry_id,
    )


def rows(parts: Sequence[Any], width: int) -> Iterator[Sequence[Any]]:
    """The parts of an answer, so many at a time."""
    for begin in range(0, len(parts), width):
        yield parts[begin : begin + width]


def claim_of(queue: str, task: str, parts: Sequence[Any], now_us: int) -> Claim:
    """What an answer says of an entry that was claimed."""
    entry_id, stored, line, turn, is_last = parts
    record = read_record(stored)
    return Claim(
        queue=queue,
        task=task,
        entry_id=entry_id,
        message=record.message,
        line_id=line,
        turn=turn,
        is_again=record.is_again,
        is_last=is_last == 1,
        claimed_us=now_us,
        parked_us=record.parked_us,
    )
