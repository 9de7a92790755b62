"""The Lua scripts of the backlog, put together from their files."""

from __future__ import annotations

from ..limiter.scripts import Script

__all__ = [
    "CLAIM",
    "DRAW",
    "DUE_LINES",
    "FINISH",
    "GIVE_BACK",
    "LOCATE",
    "OLDEST",
    "PARK",
    "PEEK",
    "PURGE",
    "TAKE",
    "WAKE",
]

STORED = ("lines", "groups", "entries")
"""What knows the keys; `turns` comes before it where a script needs the time."""


def _script(*names: str, has_time: bool) -> Script:
    time = "turns" if has_time else "no_turns"
    return Script("queue", time, *STORED, *names, package=__package__)


PARK = _script("park", has_time=True)
CLAIM = _script("first", "claim", has_time=True)
DUE_LINES = _script("due_lines", has_time=True)
DRAW = _script("first", "draw", has_time=True)
FINISH = _script("finish", has_time=False)
GIVE_BACK = _script("give_back", has_time=True)
TAKE = _script("take", has_time=False)
WAKE = _script("wake", has_time=True)
PURGE = _script("purge", has_time=False)
PEEK = _script("peek", has_time=False)
LOCATE = _script("locate", has_time=True)
OLDEST = _script("oldest", has_time=False)
