"""Takes out of the backlog what its limits have let start already, line by line."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from .caller import Caller, in_pieces
from .claiming import claim_of, rows
from .ids import line_id, raw, text
from .parking import wait_us
from .scripts import DRAW, DUE_LINES
from .values import Claim, Draw, DueLine, DueLines

__all__ = ["Drawing"]

DRAW_HEAD = struct.Struct("<Idd16s16s")
PIECE_LINES = 200
LINE_PARTS = 5
ENTRY_PARTS = 7


class Drawing:
    """Lines that are due, and what is claimed of them."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def soonest(self, queue: str) -> tuple[float, bool]:
        """Seconds until any line of the queue is due, and whether Redis' clock stepped back."""
        caller = self._caller
        stepped_back = not caller.clock.is_fresh and caller.read_clock(queue)
        found = caller.ask(caller.of_queue(queue, b"ZRANGE", b"t", b"0", b"0", b"WITHSCORES"))
        if not found:
            return math.inf, stepped_back
        return max(0.0, (float(found[1]) - caller.clock.now_us()) / 1e6), stepped_back

    def due_lines(
        self, queue: str, beginning: str, most_lines: int, most_entries: int
    ) -> tuple[DueLines, bool]:
        """What is due, and whether Redis' clock was found to have stepped back."""
        caller = self._caller
        arguments = (raw(beginning), b"%d" % most_lines, b"%d" % most_entries)
        now, stepped_back, due, is_more, *rest = caller.ask(
            caller.script(DUE_LINES, queue, caller.clock.for_scripts(), *arguments)
        )
        caller.clock.learn(now)
        lines = [
            DueLine(task, group, text(name), waiting, turn)
            for task, group, name, waiting, turn in rows(rest, LINE_PARTS)
        ]
        next_due_seconds = math.inf if due < 0 else due / 1e6
        return DueLines(lines, is_more == 1, next_due_seconds), stepped_back == 1

    def draw(self, queue: str, worker: str, draws: Sequence[Draw]) -> list[list[Claim]]:
        caller = self._caller
        commands = [
            caller.script(
                DRAW,
                queue,
                caller.clock.for_scripts(),
                raw(worker),
                *(part for one in piece for part in self._packed(one)),
                worker=worker,
            )
            for piece in in_pieces(draws, PIECE_LINES)
        ]
        drawn: list[list[Claim]] = [[] for _ in draws]
        for begin, (now, *rest) in enumerate(caller.ask_all(commands)):
            for number, task, *parts in rows(rest, ENTRY_PARTS):
                claim = claim_of(queue, text(task), parts, now)
                drawn[begin * PIECE_LINES + number].append(claim)
        return drawn

    def _packed(self, one: Draw) -> tuple[bytes, bytes]:
        wait = -1.0 if one.wait_seconds is None else wait_us(one.wait_seconds)
        line = line_id(self._caller.keys, one.limit)
        head = DRAW_HEAD.pack(one.count, wait, one.asked_us, line, one.line.group_id)
        return head, one.line.task_part
