"""Puts the backlog's questions to Redis: packs them, and picks what was answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from ..errors import RatekitError
from ..limiter.keys import KeySpace
from ..limiter.resp import pack
from ..limiter.scripts import Script
from ..limiter.steps import Command
from ..limiter.transport import Transport
from .server_clock import ServerClock

__all__ = ["Caller", "in_pieces"]

T = TypeVar("T")

SCAN_COUNT = b"1000"
"""How many members of one key are looked at in a step, so that nobody else waits for long."""


class Caller:
    """Commands and scripts about the keys of a queue. ``clock``: see `Backlog`."""

    def __init__(
        self, transport: Transport, keys: KeySpace, clock: Callable[[], int] | None
    ) -> None:
        self.transport = transport
        self.keys = keys
        self.clock = ServerClock(clock)

    def prefix(self, queue: str) -> bytes:
        """What the names of all keys of a queue begin with."""
        return self.keys.backlog(queue).encode()

    def claims_key(self, queue: str, worker: str) -> bytes:
        """Where the entries stand that a worker has claimed."""
        return self.prefix(queue) + b"k" + self.keys.part(worker).encode()

    def script(
        self,
        script: Script,
        queue: str,
        *arguments: bytes,
        worker: str | None = None,
        more_keys: Sequence[bytes] = (),
    ) -> Command:
        """A call of a script; ``worker`` is the one whose claims it needs."""
        prefix = self.prefix(queue)
        keys = [prefix, prefix + b"m", *more_keys]
        if worker is not None:
            keys.append(self.claims_key(queue, worker))
        packed = pack((b"EVALSHA", script.sha, b"%d" % len(keys), *keys, *arguments))
        return Command(keys[0], packed, script)

    def of_queue(self, queue: str, name: bytes, key: bytes, *arguments: bytes) -> Command:
        """A plain command about a key of the queue, named without what they all begin with."""
        return self.plain(name, self.prefix(queue) + key, *arguments)

    @staticmethod
    def plain(name: bytes, key: bytes, *arguments: bytes) -> Command:
        """A command about a key."""
        return Command(key, pack((name, key, *arguments)))

    def read_clock(self, queue: str) -> bool:
        """Has the clock learn the time of a queue's server; whether that has stepped back."""
        seconds, us = self.ask(self.time(queue))
        return self.clock.learn(int(seconds) * 1_000_000 + int(us))

    def time(self, queue: str) -> Command:
        """Asks the server that has the queue for its clock."""
        return Command(self.prefix(queue), pack((b"TIME",)))

    def ask(self, command: Command) -> Any:
        """The answer; raises what the transport raises."""
        return self.transport.ask(*command)

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, in one round trip to each server; raises the first error."""
        answers = self.transport.ask_many(commands) if commands else []
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def ask_any(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, with None in place of one that failed; raises where all failed."""
        answers = self.transport.ask_many(commands) if commands else []
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        if errors and len(errors) == len(answers):
            raise errors[0]
        for error in errors:
            if not isinstance(error, RatekitError):
                raise error
        return [None if isinstance(answer, Exception) else answer for answer in answers]

    def scan(self, name: bytes, key: bytes) -> Iterator[list[bytes]]:
        """What a hash (HSCAN) or a sorted set (ZSCAN) of members and values holds, bit by bit."""
        cursor = b"0"
        while True:
            cursor, found = self.ask(self.plain(name, key, cursor, b"COUNT", SCAN_COUNT))
            if found:
                yield found
            if cursor == b"0":
                return


def in_pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, at most ``size`` at a time."""
    piece: list[T] = []
    for item in items:
        piece.append(item)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece
