"""How entries and groups are written down; the other half is in lua/entries.lua and groups.lua."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from ..errors import StateVersionError
from ..limiter.keys import KeySpace
from .ids import hash8, line_id, raw, text
from .values import Group

__all__ = ["GroupInfo", "Record", "fixed_info", "read_info", "read_record", "record_rest"]

VERSION = 1

HEAD = struct.Struct("<BB7s16s8s")  # version, flags, time parked (us), group id, identity
AGAIN = 1
HAS_TASK_ID = 2
MAX_TASK_ID_BYTES = 500
"""What is kept of a task id that is no UUID, for showing it."""

LENGTH = struct.Struct("<I")
COUNT = struct.Struct("<H")
LIMIT = struct.Struct("<16s8sH")
INFO_HEAD_BYTES = 17


class Record(NamedTuple):
    """What is kept of one message; ``task_id`` is None where the entry's id says it."""

    is_again: bool
    parked_us: int
    group_id: bytes
    identity: bytes
    task_id: str | None
    message: bytes


class GroupInfo(NamedTuple):
    """What is kept of one group: its line, its task, names of its limits, hashes of their keys."""

    line_id: bytes
    task: str
    limits: tuple[tuple[str, bytes], ...]


def record_rest(message: bytes, task_id: str | None) -> tuple[int, bytes]:
    """The flags of a record, and what follows its head."""
    if task_id is None:
        return 0, message
    shown = raw(task_id)
    if len(shown) > MAX_TASK_ID_BYTES:
        shown = raw(text_until(shown, MAX_TASK_ID_BYTES - 3) + "...")
    return HAS_TASK_ID, COUNT.pack(len(shown)) + shown + message


def read_record(record: bytes) -> Record:
    """The parts of a record; of one that was cut short behind its head, what is there."""
    if record[:1] != bytes([VERSION]):
        raise StateVersionError(_newer("an entry"))
    _, flags, parked, group, identity = HEAD.unpack_from(record)
    task_id, rest = None, HEAD.size
    if flags & HAS_TASK_ID:
        (length,) = COUNT.unpack_from(record, rest)
        rest += COUNT.size + length
        task_id = text(record[rest - length : rest])
    parked_us = int.from_bytes(parked, "little")
    return Record(bool(flags & AGAIN), parked_us, group, identity, task_id, record[rest:])


def task_id_of(entry_id: bytes, record: Record) -> str:
    """The task id, as far as it was kept."""
    return str(UUID(bytes=entry_id[:16])) if record.task_id is None else record.task_id


@lru_cache(4_096)
def fixed_info(keys: KeySpace, group: Group) -> bytes:
    """What a group's info says but for the line that it stands in."""
    names = list(dict.fromkeys(limit.name for limit in group.limits))
    parts = [_sized(keys.part(group.task).encode()), _sized(raw(group.task))]
    parts.append(COUNT.pack(len(names)))
    parts += [_sized(raw(name)) for name in names]
    parts.append(COUNT.pack(len(group.limits)))
    for limit in group.limits:
        number = names.index(limit.name) + 1
        parts.append(LIMIT.pack(line_id(keys, limit), hash8(str(limit.key)), number))
    return b"".join(parts)


def read_info(info: bytes) -> GroupInfo:
    """What a group's info says."""
    if info[:1] != bytes([VERSION]):
        raise StateVersionError(_newer("a group"))
    _, at = _read_sized(info, INFO_HEAD_BYTES)
    task, at = _read_sized(info, at)
    (count,) = COUNT.unpack_from(info, at)
    at += COUNT.size
    names = []
    for _ in range(count):
        name, at = _read_sized(info, at)
        names.append(text(name))
    (count,) = COUNT.unpack_from(info, at)
    at += COUNT.size
    limits = []
    for index in range(count):
        _, key, number = LIMIT.unpack_from(info, at + index * LIMIT.size)
        limits.append((names[number - 1], key))
    return GroupInfo(info[1:INFO_HEAD_BYTES], text(task), tuple(limits))


def text_until(stored: bytes, length: int) -> str:
    """A beginning of a name that does not end within a character."""
    return stored[:length].decode("utf-8", "ignore")


def _sized(part: bytes) -> bytes:
    return LENGTH.pack(len(part)) + part


def _read_sized(info: bytes, at: int) -> tuple[bytes, int]:
    (length,) = LENGTH.unpack_from(info, at)
    begin = at + LENGTH.size
    return info[begin : begin + length], begin + length


def _newer(what: str) -> str:
    return f"{what} of the backlog was written by a newer release; upgrade this process"
