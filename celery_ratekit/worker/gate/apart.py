"""Has the gate act outside of the pool's own greenlets.

A greenlet keeps its place in the pool until it is over, also while it tells of the end of its task.
If it started the next task from there, it would wait for a place that it has itself.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["Apart", "apart_of"]

Apart = Callable[..., object]
"""Calls a function with arguments, now or soon."""

GREEN = ("gevent", "eventlet")


def apart_of(pool: Any) -> Apart:
    """Calls at once, but for a pool of greenlets: there soon, in a greenlet of its own."""
    library = type(pool).__module__.rpartition(".")[2]
    if library not in GREEN:
        return at_once
    spawn: Apart = import_module(library).spawn
    return spawn


def at_once(function: Callable[..., object], *args: Any) -> None:
    """Calls a function."""
    function(*args)
