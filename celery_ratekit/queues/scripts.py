"""The Lua scripts of the throttled queues, put together from their files."""

from __future__ import annotations

from ..limiter.scripts import Script

__all__ = [
    "BEGIN",
    "CHANGE",
    "CLOSE",
    "CREATE",
    "EXPIRE",
    "LOSE",
    "OPEN",
    "REDEEM",
    "REMOVE",
    "TOUCH",
]


def _script(name: str) -> Script:
    return Script("now", name, package=__package__)


CREATE = _script("create")
CHANGE = _script("change")
REMOVE = _script("remove")
TOUCH = _script("touch")
OPEN = _script("open")
BEGIN = _script("begin")
LOSE = _script("lose")
CLOSE = _script("close")
REDEEM = _script("redeem")
EXPIRE = _script("expire")
