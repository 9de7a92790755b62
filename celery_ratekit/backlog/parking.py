"""Puts messages into the backlog."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence

from ..limiter.forks import after_fork
from ..limiter.keys import KeySpace
from ..limiter.prepared import random_id
from ..limiter.steps import Command
from .caller import Caller
from .ids import group_id, line_id, task_id_bytes
from .records import fixed_info, record_rest
from .registry import Registry
from .scripts import PARK
from .values import NO_TOKEN, Group, Parking

__all__ = ["Parker", "packed_groups", "wait_us"]

PIECE_ENTRIES = 100
PIECE_BYTES = 262_144
"""What one script stores at most, so that nobody else waits for long; one larger message alone."""

MAX_WAIT_US = 86_400_000_000
PARKING = struct.Struct("<HBBBdd16s16s8s8s")

MOST_CONFIRMED = 1_000
"""How many receipts one script takes back; what is left expires by itself."""

Numbered = list[tuple[int, Parking]]


class Parker:
    """Parks many messages in one round trip to each server."""

    def __init__(self, caller: Caller, registry: Registry) -> None:
        self._caller = caller
        self._registry = registry
        self.forget()
        after_fork(self)

    def forget(self) -> None:
        """Begins anew in a forked child."""
        self._name = random_id()
        self._confirmed: dict[str, list[bytes]] = {}  # receipts that are not needed, by queue

    def park(self, parkings: Sequence[Parking], most: int | None) -> list[bool | None]:
        pieces = list(_pieces(parkings))
        confirmed = self._take_confirmed(piece[0][1].group.queue for piece in pieces)
        commands = [self._command(piece, most, confirmed) for piece in pieces]
        answers = self._caller.ask_any(commands)
        stored: list[bool | None] = [None] * len(parkings)
        for piece, answer in zip(pieces, answers, strict=True):
            if answer is not None:
                self._caller.clock.learn(answer[0])
                for (index, parking), is_stored in zip(piece, answer[2:], strict=True):
                    stored[index] = is_stored == 1
                    if is_stored == 1 and parking.token != NO_TOKEN:
                        queue = parking.group.queue
                        self._confirmed.setdefault(queue, []).append(parking.token)
                if any(answer[2:]):
                    self._registry.parked(piece[0][1].group.queue, was_empty=answer[1] == 1)
        self._registry.write()
        return stored

    def _take_confirmed(self, queues: Iterable[str]) -> dict[str, bytes]:
        """What may be forgotten in each queue; the first script there does it."""
        return {
            queue: b"".join(self._confirmed.pop(queue, ())[:MOST_CONFIRMED])
            for queue in dict.fromkeys(queues)
        }

    def _command(self, piece: Numbered, most: int | None, confirmed: dict[str, bytes]) -> Command:
        keys = self._caller.keys
        parkings = [parking for _, parking in piece]
        groups = list(dict.fromkeys(parking.group for parking in parkings))
        numbers = {group: number for number, group in enumerate(groups, 1)}
        arguments = [b"-1" if most is None else b"%d" % most, *packed_groups(keys, groups)]
        queue = parkings[0].group.queue
        arguments.append(confirmed.pop(queue, b""))
        for parking in parkings:
            arguments += _packed(keys, parking, numbers[parking.group])
        clock = self._caller.clock.for_scripts()
        receipts = keys.receipts(queue, self._name).encode()
        return self._caller.script(PARK, queue, clock, *arguments, more_keys=[receipts])


def packed_groups(keys: KeySpace, groups: Sequence[Group]) -> list[bytes]:
    """The groups that entries refer to by their numbers."""
    packed = [b"%d" % len(groups)]
    for group in groups:
        packed += [group_id(keys, group), fixed_info(keys, group)]
    return packed


def wait_us(seconds: float) -> float:
    """Whole microseconds, a day at most; what is no number is no wait."""
    if math.isnan(seconds) or seconds <= 0:
        return 0
    return min(MAX_WAIT_US, math.ceil(min(seconds, MAX_WAIT_US) * 1e6))


def _packed(keys: KeySpace, parking: Parking, group_number: int) -> tuple[bytes, bytes]:
    id_bytes, is_whole = task_id_bytes(parking.task_id)
    flags, rest = record_rest(parking.message, None if is_whole else parking.task_id)
    packed = PARKING.pack(
        group_number,
        parking.rank,
        flags,
        parking.may_be_stored,
        wait_us(parking.wait_seconds),
        parking.asked_us,
        line_id(keys, parking.blocked_by),
        id_bytes,
        parking.identity,
        parking.token,
    )
    return packed, rest


def _pieces(parkings: Sequence[Parking]) -> Iterator[Numbered]:
    """Parkings of one queue each, in their order, with their numbers."""
    by_queue: dict[str, Numbered] = {}
    for index, parking in enumerate(parkings):
        by_queue.setdefault(parking.group.queue, []).append((index, parking))
    for of_queue in by_queue.values():
        piece: Numbered = []
        size = 0
        for numbered in of_queue:
            length = len(numbered[1].message)
            if piece and (len(piece) == PIECE_ENTRIES or size + length > PIECE_BYTES):
                yield piece
                piece, size = [], 0
            piece.append(numbered)
            size += length
        yield piece
