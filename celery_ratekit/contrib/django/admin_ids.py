"""What names a limit in addresses and in the admin's history, and texts as people see them.

Names of limits come from code, and from whatever workers declare: they may hold anything.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from ...limiter.keys import KeySpace

__all__ = ["is_page_id", "page_id", "shown_id", "shown_text"]

PAGE_ID = re.compile(r"[A-Za-z]{1,30}\.[\w.~%@+-]{1,64}", re.ASCII)

MOST_SHOWN = 200
"""The most characters of a name or a key on a page or in the history."""


def page_id(kind: str, name: str) -> str:
    """The id of a limit by the name of its class and its own: of plain ASCII, and bounded.

    No two limits share one. What is long is replaced by its hash, as in Redis.

    >>> page_id("TokenBucket", "a/b")
    'TokenBucket.a%2Fb'
    """
    return f"{kind}.{KeySpace.part(name)}"


def is_page_id(text: str) -> bool:
    """Whether a text may have been made by `page_id`."""
    return PAGE_ID.fullmatch(text) is not None


def shown_id(page_id: str) -> str:
    """A limit for people, as far as its id tells it.

    >>> shown_id("TokenBucket.a%2Fb")
    'a/b (TokenBucket)'
    """
    kind, _, part = page_id.partition(".")
    return shown_text(f"{unquote(part)} ({kind})")


def shown_text(text: str, most: int = MOST_SHOWN) -> str:
    r"""``text`` in characters that any page and any database takes, of bounded length.

    Written out is what nobody would see, or what turns the line around.

    >>> print(shown_text("a\x00b\u202e", most=20), shown_text("abcdef", most=4))
    a\x00b\u202e abc…
    """
    text = text[: most + 1]
    seen = "".join(char if char.isprintable() else _written_out(char) for char in text)
    return seen if len(seen) <= most else f"{seen[: most - 1]}…"


def _written_out(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")
