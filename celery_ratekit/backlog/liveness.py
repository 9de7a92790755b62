"""Which worker processes live: each says so again and again, and is taken for dead otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .caller import Caller

__all__ = ["Liveness"]


class Liveness:
    """One key for each worker, which expires by itself."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def say_alive(self, worker: str, ttl_seconds: float) -> None:
        ttl = max(1, math.ceil(ttl_seconds * 1000))
        caller = self._caller
        caller.ask(caller.plain(b"SET", self._key(worker), b"1", b"PX", b"%d" % ttl))

    def say_gone(self, worker: str) -> None:
        self._caller.ask(self._caller.plain(b"DEL", self._key(worker)))

    def alive(self, workers: Sequence[str]) -> list[bool]:
        plain = self._caller.plain
        answers = self._caller.ask_all([plain(b"EXISTS", self._key(one)) for one in workers])
        return [answer == 1 for answer in answers]

    def _key(self, worker: str) -> bytes:
        return self._caller.keys.liveness(worker).encode()
