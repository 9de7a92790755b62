"""What objects that hold locks or sockets do in a forked child."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Forkable", "after_fork"]


class Forkable(Protocol):
    """Something that a forked child cannot use as its parent left it."""

    def forget(self) -> None:
        """Begins anew in a forked child, without waiting for a lock or closing what is shared."""
        ...


_alive: weakref.WeakSet[Forkable] = weakref.WeakSet()


def after_fork(one: Forkable) -> None:
    """Sees to it that ``one`` forgets in every child that is forked while it lives."""
    _alive.add(one)


def _forget_in_child() -> None:
    for one in list(_alive):
        one.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
