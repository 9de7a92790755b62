"""The rows as a table for the terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from .intervals import CONFIDENCE, interval
from .measured import Measured

__all__ = ["as_json", "as_text"]

PERCENT = f"{CONFIDENCE:.0%}"
HEADINGS = (
    *("what", "runs", "min", f"{PERCENT} from", "median", f"{PERCENT} to", "max"),
    *("unit", "target", ""),
)
TEXT_COLUMNS = {0, 7, 8, 9}  # The rest are numbers, to the right.


def as_text(rows: Sequence[Measured]) -> str:
    """Columns of equal width, a heading for each group."""
    cells = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *cells, strict=True)]
    lines = [_line(HEADINGS, widths)]
    group = ""
    for row, line in zip(rows, cells, strict=True):
        if row.group != group:
            group = row.group
            lines += ["", group]
        lines.append(_line(line, widths))
    return "\n".join(lines)


def as_json(rows: Sequence[Measured], facts: Mapping[str, str]) -> str:
    """The same for programs, with every single value."""
    return json.dumps({"where": dict(facts), "rows": [_fields(row) for row in rows]}, indent=1)


def _fields(row: Measured) -> dict[str, Any]:
    return {
        "group": row.group,
        "name": row.name,
        "unit": row.unit,
        "median": median(row.values),
        "interval": interval(row.values),
        "values": list(row.values),
        "target": row.target.text if row.target else None,
        "verdict": row.verdict,
    }


def _cells(row: Measured) -> tuple[str, ...]:
    low, high = interval(row.values) or (None, None)
    numbers = (min(row.values), low, median(row.values), high, max(row.values))
    return (
        row.name,
        str(len(row.values)),
        *("" if number is None else _number(number) for number in numbers),
        row.unit,
        row.target.text if row.target else "",
        row.verdict,
    )


def _number(number: float) -> str:
    size = abs(number)
    digits = 0 if size >= 1_000 else 1 if size >= 100 else 2 if size >= 10 else 3
    return f"{number:,.{digits}f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if column in TEXT_COLUMNS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
