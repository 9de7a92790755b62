"""The Lua scripts of the core, put together from their files.

Each script is the concatenation of the files named here, in this order; Redis knows it by its
SHA-1, so a script is sent once and called by name from then on.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

__all__ = ["AMEND", "DECIDE", "EXTEND", "FREEZE", "INSPECT", "PRESENCE", "REDEEM", "Script"]

KINDS = (
    "limits",
    "token_bucket",
    "fixed_window",
    "sliding_window",
    "scheduled_bucket",
    "concurrency",
    "kinds",
)


class Script:
    """A script's text and the name that Redis gives it; ``package`` has a folder of its parts."""

    def __init__(self, *parts: str, package: str = __package__) -> None:
        self.text = "\n".join(_read(package, part) for part in parts).encode()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()


@cache
def _read(package: str, part: str) -> str:
    return (files(package) / "lua" / f"{part}.lua").read_text("utf-8")


DECIDE = Script("question", "marks", "fast_token_bucket", *KINDS, "decide")
AMEND = Script("question", *KINDS, "amend")
INSPECT = Script("question", *KINDS, "inspect")
FREEZE = Script("freeze")
REDEEM = Script("redeem")
EXTEND = Script("extend")
PRESENCE = Script("presence")
