"""Commands in the form in which Redis reads them."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["pack"]


def pack(parts: Iterable[bytes]) -> bytes:
    """One command as bytes (the Redis serialization protocol's array of bulk strings)."""
    items = tuple(parts)
    packed = [b"*%d\r\n" % len(items)]
    packed += [b"$%d\r\n%b\r\n" % (len(item), item) for item in items]
    return b"".join(packed)
