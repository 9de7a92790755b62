"""Choosing free loopback ports."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable

from ..errors import EmbeddedServerError

__all__ = ["LOOPBACK", "free_port"]

LOOPBACK = "127.0.0.1"

# Below Linux' range for outgoing connections (from 32768), also with the 10,000 that a cluster
# bus adds, so that a server which restarts does not find its port taken by somebody's client.
FIRST_PORT, LAST_PORT = 10_000, 22_000

ATTEMPTS = 200

_random = random.SystemRandom()  # processes forked from one parent must not draw the same ports


def free_port(*, also: Iterable[int] = ()) -> int:
    """A port that nobody listens on now, nor on any of the ports ``also`` above it.

    Somebody may take it before it is used: whoever uses it has to be ready to ask again.
    """
    offsets = (0, *also)
    for _ in range(ATTEMPTS):
        port = _random.randint(FIRST_PORT, LAST_PORT)
        if all(_is_free(port + offset) for offset in offsets):
            return port
    raise EmbeddedServerError(f"no free port between {FIRST_PORT} and {LAST_PORT} on {LOOPBACK}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
