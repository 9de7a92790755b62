"""Tables and JSON on stdout: the same content in a terminal, in a pipe, and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from .terminal import on_one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["JSON_OPTION", "console", "finite", "print_json", "print_table", "table"]

UNBOUNDED_COLUMNS = 100_000

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def print_json(data: Any) -> None:
    """Prints data as JSON; what JSON has no word for, such as infinity, as null."""
    click.echo(json.dumps(finite(data), indent=2, default=str))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Prints rows under their headings; where there are none, what ``empty`` says."""
    found = list(rows)
    if not found:
        click.echo(empty)
        return
    screen = console()
    drawn = table(headings, found)
    if not screen.is_terminal:  # In a pipe nothing is cut off, nor folded.
        screen.width = screen.measure(
            drawn, options=screen.options.update(width=UNBOUNDED_COLUMNS)
        ).maximum
    screen.print(drawn)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table without lines; each cell is shown as it is, on one line."""
    from rich.table import Table  # noqa: PLC0415 - only tables need it
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        is_number = heading.startswith(">")
        justify: Literal["left", "right"] = "right" if is_number else "left"
        # Folded, never cut: an id is there to be copied.
        drawn.add_column(Text(heading.removeprefix(">")), justify=justify, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(on_one_line(cell)) for cell in row))
    return drawn


def console() -> Console:
    """Where tables are drawn: without markup, so that no name can fake colours or links."""
    from rich.console import Console  # noqa: PLC0415 - only tables need it

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False)


def finite(data: Any) -> Any:
    """Plain data with None for the numbers that JSON has no word for, and texts as keys."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(name): finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return data
