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

__all__ = ["last_traces"]

CORRELATION = re.compile(rb'"correlation_id": "([^"]+)"')
UNACKED = b"unacked"
PUSHES = (b"LPUSH", b"RPUSH")


def last_traces(files: Iterable[Path]) -> dict[str, str]:
    """For each task id the last of ``"queued"``, ``"noted"`` and ``"acknowledged"``."""
    traces: dict[str, str] = {}
    by_tag: dict[bytes, str] = {}
    for path in files:
        with path.open("rb") as file:
            for command in _commands(file):
                _take_note(command, traces, by_tag)
    return traces


def _take_note(command: list[bytes], traces: dict[str, str], by_tag: dict[bytes, str]) -> None:
    name = command[0].upper()
    if name in PUSHES:
        for message in command[2:]:
            if found := CORRELATION.search(message):
                traces[found[1].decode()] = "queued"
    elif name in (b"HSET", b"HMSET") and command[1] == UNACKED:
        for tag, message in zip(command[2::2], command[3::2], strict=True):
            if found := CORRELATION.search(message):
                by_tag[tag] = found[1].decode()
                traces[by_tag[tag]] = "noted"
    elif name == b"HDEL" and command[1] == UNACKED:
        for tag in command[2:]:
            if tag in by_tag:
                traces[by_tag[tag]] = "acknowledged"


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
            command.append(file.read(int(length[1:]) + 2)[:-2])
        yield command
