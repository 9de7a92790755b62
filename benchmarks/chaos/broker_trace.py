"""What Redis as a broker wrote down about messages: who had them last, a worker or nobody.

Celery's Redis transport takes a message with one command and notes that it has it with another.
Who is killed in between loses it, with or without a gate, before any worker has received it. The
append-only file shows exactly that: the last that was written of such a message is that it was put
into its queue, and the queue is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["Traces", "read_traces"]

CORRELATION = re.compile(rb'"correlation_id": "([^"]+)"')
UNACKED = b"unacked"
PUSHES = (b"LPUSH", b"RPUSH")
POPS = (b"RPOP", b"BRPOP")
SETS = (b"HSET", b"HMSET")


def read_traces(files: Iterable[Path], queue: str) -> Traces:
    """What append-only files say of a queue's messages, from the first on."""
    traces = Traces(queue)
    for path in files:
        with path.open("rb") as file:
            for command in _commands(file):
                traces.read(command)
    return traces


class Traces:
    """What Redis did with the messages of a queue.

    ``last`` is for each task id the last of ``"queued"``, ``"noted"`` and ``"acknowledged"``, and
    ``not_noted`` how many messages were taken by somebody who did not live to note it.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue.encode()
        self.not_noted = 0
        self.last: dict[str, str] = {}
        self._by_tag: dict[bytes, str] = {}

    def read(self, command: list[bytes]) -> None:
        name, key, *rest = command if len(command) > 1 else (b"", b"")
        name = name.upper()
        if name in PUSHES:
            self._pushed(rest)
        elif name in POPS and key.startswith(self._queue):
            self.not_noted += 1  # until it is
        elif key == UNACKED and name in SETS:
            self._noted(rest)
        elif key == UNACKED and name == b"HDEL":
            self.last.update(
                {self._by_tag[tag]: "acknowledged" for tag in rest if tag in self._by_tag}
            )

    def _pushed(self, messages: list[bytes]) -> None:
        for message in messages:
            if found := CORRELATION.search(message):
                self.last[found[1].decode()] = "queued"

    def _noted(self, pairs: list[bytes]) -> None:
        for tag, message in zip(pairs[::2], pairs[1::2], strict=True):
            if found := CORRELATION.search(message):
                self.not_noted -= 1
                self._by_tag[tag] = task_id = found[1].decode()
                self.last[task_id] = "noted"


def _commands(file: BinaryIO) -> Iterator[list[bytes]]:
    """The commands of an append-only file; what was cut off at its end is left out."""
    while head := file.readline():
        if not head.startswith(b"*"):
            continue  # a note of Redis about itself
        command = []
        for _ in range(int(head[1:])):
            length = file.readline()
            if not length.startswith(b"$"):
                return
            size = int(length[1:]) + 2
            part = file.read(size)
            if len(part) < size:
                return
            command.append(part[:-2])
        yield command
