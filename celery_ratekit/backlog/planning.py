"""When a queue's backlog is worth asking, and when that changes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from .caller import Caller, in_pieces
from .ids import name_id
from .scripts import WAKE

__all__ = ["Planning"]

PIECE_LINES = 500


class Planning:
    """Due times of lines, as they stand in Redis."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def dues(self, queues: Sequence[str], tasks: Collection[str]) -> dict[str, dict[str, float]]:
        """Seconds until each task is due, by queue, of tasks that have something there."""
        caller = self._caller
        commands = [
            caller.of_queue(queue, b"ZRANGE", b"t", b"0", b"-1", b"WITHSCORES") for queue in queues
        ]
        stepped_back = bool(queues) and not caller.clock.is_fresh and caller.read_clock(queues[0])
        names = {caller.keys.part(task).encode(): task for task in tasks}
        found: dict[str, dict[str, float]] = {}
        for queue, answer in zip(queues, caller.ask_any(commands), strict=True):
            dues = _pairs(answer or [])
            of_queue = {names[task]: score for task, score in dues if task in names}
            if of_queue:
                now = math.inf if stepped_back else caller.clock.now_us()
                found[queue] = {
                    task: max(0.0, (score - now) / 1e6) for task, score in of_queue.items()
                }
        return found

    def wake(self, queue: str, limit_name: str | None) -> int:
        """How many lines waited and do not any more: all, or those of one limit's name."""
        caller = self._caller
        beginning = b"" if limit_name is None else name_id(limit_name)
        clock = caller.clock.for_scripts()
        woken = 0
        # Once without lines: what a limit was asked before now is out of date.
        caller.ask(caller.script(WAKE, queue, clock, b""))
        for task in caller.ask(caller.of_queue(queue, b"ZRANGE", b"t", b"0", b"-1")):
            key = caller.prefix(queue) + b"d" + task
            for found in caller.scan(b"ZSCAN", key):
                lines = [
                    line
                    for line, score in _pairs(found)
                    if score >= 0 and line.startswith(beginning)
                ]
                commands = [
                    caller.script(WAKE, queue, clock, task, *piece)
                    for piece in in_pieces(lines, PIECE_LINES)
                ]
                woken += sum(caller.ask_all(commands))
        return woken


def _pairs(answer: Sequence[bytes]) -> Iterator[tuple[bytes, float]]:
    for index in range(0, len(answer), 2):
        yield answer[index], float(answer[index + 1])
