"""Chooses the view that the output can show."""

from __future__ import annotations

from rich.console import Console

from ..plan import Plan
from .live import LiveView
from .plain import PlainView
from .view import View

__all__ = ["view_for"]


def view_for(plan: Plan, *, plain: bool) -> View:
    """A live view where stdout is a terminal that can draw it, unless ``plain`` is asked for."""
    console = Console(highlight=False, markup=False, emoji=False)
    can_draw = (
        console.is_terminal
        and console.file.isatty()  # rich takes FORCE_COLOR for a terminal; a log is none
        and not console.is_dumb_terminal
        and console.encoding.startswith("utf")
    )
    return LiveView(plan, console) if can_draw and not plain else PlainView(plan)
