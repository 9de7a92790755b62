"""The figures as a table for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .figures import Figure

__all__ = ["as_json", "as_markdown", "as_text"]

HEADINGS = ("what", "against", "min", "median", "max", "us", "target", "")
TEXT_COLUMNS = 2  # the rest are numbers, to the right


def as_text(figures: Sequence[Figure]) -> str:
    """Columns of equal width, a heading for each group."""
    rows = [_cells(figure) for figure in figures]
    widths = [max(len(row[column]) for row in [HEADINGS, *rows]) for column in range(len(HEADINGS))]
    lines = [_line(HEADINGS, widths)]
    group = ""
    for figure, row in zip(figures, rows, strict=True):
        if figure.group != group:
            group = figure.group
            lines += ["", group]
        lines.append(_line(row, widths))
    return "\n".join(lines)


def as_markdown(figures: Sequence[Figure], facts: Mapping[str, str], caveats: Sequence[str]) -> str:
    """A document with a table for each group."""
    lines = ["# Benchmark of decisions", ""]
    group = ""
    for figure in figures:
        if figure.group != group:
            group = figure.group
            lines += ["", f"## {group}", "", _markdown_row(HEADINGS)]
            lines.append(_markdown_row(("---",) * len(HEADINGS)))
        lines.append(_markdown_row(_cells(figure)))
    lines += ["", "## Where", "", *(f"- {name}: {fact}" for name, fact in facts.items())]
    lines += ["", "## Caveats", "", *(f"- {caveat}" for caveat in caveats), ""]
    return "\n".join(lines)


def as_json(figures: Sequence[Figure], facts: Mapping[str, str]) -> str:
    """The same numbers for programs."""
    return json.dumps(
        {"where": dict(facts), "figures": [_fields(one) for one in figures]}, indent=1
    )


def _fields(figure: Figure) -> dict[str, Any]:
    return {
        "group": figure.group,
        "name": figure.name,
        "against": figure.against,
        "unit": figure.unit,
        **asdict(figure.spread),
        "microseconds": figure.microseconds,
        "target": figure.target.text if figure.target else None,
        "verdict": figure.verdict,
    }


def _cells(figure: Figure) -> tuple[str, ...]:
    numbers = (figure.spread.least, figure.spread.median, figure.spread.most)
    return (
        figure.name,
        figure.against,
        *(_number(number, figure.unit) for number in numbers),
        "" if figure.microseconds is None else _number(figure.microseconds, ""),
        figure.target.text if figure.target else "",
        figure.verdict,
    )


def _number(number: float, unit: str) -> str:
    digits = 0 if unit == "bytes" or number >= 100 else 1 if number >= 10 else 3
    return f"{number:.{digits}f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if column < TEXT_COLUMNS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
