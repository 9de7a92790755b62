"""A service in Redis that takes so many calls in any second, exactly, and refuses the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - 1000000))
local taken = 0
if redis.call('ZCARD', KEYS[1]) < tonumber(redis.call('GET', KEYS[2]) or 0) then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), redis.call('INCR', KEYS[2] .. ':number'))
  taken = 1
end
redis.call('RPUSH', KEYS[3], string.format('%.0f %d %s', now, taken, ARGV[1]))
return taken
"""


@dataclass(frozen=True)
class Asked:
    """One call: when (seconds since 1970), whether it was taken, and whose it was."""

    at: float
    taken: bool
    caller: str


class Partner:
    """The service, as workers call it and as a test sets and watches it."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._take = self._client.register_script(TAKE)

    def takes(self, caller: str) -> bool:
        """Whether the service takes one more call."""
        keys = ["partner:window", "partner:capacity", "partner:calls"]
        return bool(self._take(keys=keys, args=[caller]))

    def set_capacity(self, per_second: int) -> None:
        self._client.set("partner:capacity", per_second)

    def calls(self, since: float = 0.0) -> list[Asked]:
        """The calls after a moment, in order."""
        lines: list[Any] = self._client.lrange("partner:calls", 0, -1)
        words = [line.decode().split() for line in lines]
        asked = [Asked(int(at) / 1e6, taken == "1", caller) for at, taken, caller in words]
        return [one for one in asked if one.at >= since]

    def now(self) -> float:
        """The service's clock, seconds since 1970."""
        seconds, microseconds = self._client.time()
        return float(seconds + microseconds / 1e6)
