"""The monitor's report as it stands on a screen or in a pipe."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..durations import short
from ..terminal import on_one_line
from .fitting import fitted
from .graph import ASCII, BLOCKS, graph
from .report import BacklogLine, LimitLine, QueueLine, Report, WorkerLine

__all__ = ["drawn"]

GRAPH_COLUMNS = 10
WIDE_GRAPH_COLUMNS = 30
GAP_COLUMNS = 2
SHORTEST_NAME = 8
"""Columns of a name that are left on the narrowest screen."""

LINES_ABOVE = 3
"""What stands above the rows of a table: an empty line, its title, its headings."""

SHORTEST_SECONDS = 0.05
"""What is nearer is now."""

WIDE_COLUMNS = 120
"""From so many columns on there is room for a longer graph."""

LIMIT_HEADINGS = ("LIMIT", ">RATE", ">REACHED", "", ">TOKENS", ">WAITING", ">HELD", ">LATE")
QUEUE_COUNTS = (">WAITING", ">RUNNING", ">DONE", ">FAILED", ">TOKENS")
QUEUE_HEADINGS = ("QUEUE", ">RATE", ">REACHED", *QUEUE_COUNTS)
WIDE_QUEUE_HEADINGS = (*QUEUE_HEADINGS[:3], "", *QUEUE_COUNTS, ">REFILL", ">NEXT", ">AGE")

BACKLOG_HEADINGS = ("BACKLOG OF", ">WAITING", ">CLAIMED", ">OLDEST")
WORKER_HEADINGS = ("WORKER", "GATE", ">BUSY", ">HELD")

TITLE_STYLE = "bold"
TROUBLE_STYLE = "bold red"

GATE_WORDS = {"on": "on", "off": "off", "none": "no answer of ours"}


class Section(NamedTuple):
    """A table to be; ``weights`` say which of its rows stay where there is no room for all."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    weights: Sequence[float]


def drawn(report: Report, console: Console, lines: int | None = None) -> RenderableType:
    """The report, as wide as the console: all of it, or the busiest rows on so many lines."""
    parts: list[RenderableType] = list(_head(report))
    steps = BLOCKS if console.encoding.startswith("utf") else ASCII
    sections = [one for one in _sections(report, console.width, steps) if one.rows]
    counts = [len(one.rows) for one in sections]
    if lines is not None:
        counts = fitted(counts, lines - len(parts) - LINES_ABOVE * len(sections))
    for section, count in zip(sections, counts, strict=True):
        rows = _busiest(section, count)
        table = _table(console.width, section.headings, rows)
        parts += [Text(), Text(section.title, TITLE_STYLE), table]
        if count < len(section.rows):
            parts.append(Text(f"and {len(section.rows) - count:,} more", "dim"))
    return Group(*parts)


def _busiest(section: Section, count: int) -> Sequence[Sequence[str]]:
    """The rows with the greatest weights, in the order in which they stand anyway."""
    ranked = sorted(range(len(section.rows)), key=lambda at: -section.weights[at])
    return [section.rows[at] for at in sorted(ranked[:count])]


def _head(report: Report) -> Iterator[Text]:
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.at))
    queues = report.queues
    active = sum(one.queue.active for one in queues)
    of_queues = f"  queues: {active} active of {len(queues)}" if queues else ""
    yield Text(f"{clock}  workers: {len(report.workers)}{of_queues}")
    if report.redis_error:
        yield Text(f"Redis gives no answer: {on_one_line(report.redis_error)}", TROUBLE_STYLE)
    else:
        yield Text(
            f"Redis {on_one_line(report.redis_version)}: connected, {report.redis_ms:.1f} ms"
        )
    if report.broker_error:
        yield Text(f"The broker gives no answer: {on_one_line(report.broker_error)}", TROUBLE_STYLE)


def _sections(report: Report, width: int, steps: str) -> Iterator[Section]:
    is_wide = width >= WIDE_COLUMNS
    columns = WIDE_GRAPH_COLUMNS if is_wide else GRAPH_COLUMNS
    yield Section(
        "Queues",
        WIDE_QUEUE_HEADINGS if is_wide else QUEUE_HEADINGS,
        [_queue(one, report.at, steps, is_wide) for one in report.queues],
        [one.queue.waiting + one.queue.processing for one in report.queues],
    )
    yield Section(
        "Limits",
        LIMIT_HEADINGS,
        [_limit(one, steps, columns) for one in report.limits],
        [one.waiting + one.held for one in report.limits],
    )
    yield Section(
        "Backlog",
        BACKLOG_HEADINGS,
        [_backlog(one) for one in report.backlog],
        [one.waiting for one in report.backlog],
    )
    yield Section(
        "Workers",
        WORKER_HEADINGS,
        [_worker(one) for one in report.workers],
        [one.busy + one.held for one in report.workers],
    )


def _table(columns: int, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Only the first column is cut where the screen is narrow; its names may be of any length."""
    widest = [_widest(rows, number, heading) for number, heading in enumerate(headings)]
    left = columns - sum(widest[1:]) - GAP_COLUMNS * len(widest)
    widest[0] = max(SHORTEST_NAME, min(widest[0], left))
    table = Table(box=None, pad_edge=False, padding=(0, GAP_COLUMNS, 0, 0), header_style="dim")
    for heading, width in zip(headings, widest, strict=True):
        table.add_column(
            Text(heading.removeprefix(">")),
            justify="right" if heading.startswith(">") else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=width,
        )
    for row in rows:
        table.add_row(*(Text(on_one_line(cell)) for cell in row))
    return table


def _widest(rows: Sequence[Sequence[str]], number: int, heading: str) -> int:
    cells = (on_one_line(row[number]) for row in rows)
    return max([len(heading.removeprefix(">")), *map(cell_len, cells)])


def _limit(one: LimitLine, steps: str, columns: int) -> tuple[str, ...]:
    return (
        one.name,
        _rate(one),
        _number(one.reached, "/s"),
        graph(one.past, math.inf if one.allowed is None else one.allowed, columns, steps).rjust(
            columns
        ),
        _tokens(one.available, one.capacity),
        f"{one.waiting:,}",
        f"{one.held:,}",
        "" if one.late_seconds is None else f"{one.late_seconds * 1000:.0f}ms",
    )


def _rate(one: LimitLine) -> str:
    if one.frozen_seconds > 0:
        return f"frozen {short(one.frozen_seconds)}"
    return f"{one.rate} places" if one.kind == "Concurrency" and one.rate.isdecimal() else one.rate


def _queue(line: QueueLine, now: float, steps: str, is_wide: bool) -> tuple[str, ...]:
    one = line.queue
    refill = one.refill_per_second
    cells = [one.name, one.rate if one.active else "inactive", _number(line.reached, "/s")]
    if is_wide:
        cells.append(graph(line.past, refill, GRAPH_COLUMNS, steps).rjust(GRAPH_COLUMNS))
    cells += [f"{n:,}" for n in (one.waiting, one.processing, one.completed, one.failed)]
    cells.append(_tokens(one.available, one.capacity))
    if is_wide:
        age = short(max(0.0, now - one.created_at))
        cells += [_number(refill, "/s"), _in_seconds(one.next_token_seconds), age]
    return tuple(cells)


def _backlog(one: BacklogLine) -> tuple[str, ...]:
    oldest = short(one.oldest_age_seconds) if one.waiting else ""
    return (one.queue, f"{one.waiting:,}", f"{one.claimed:,}", oldest)


def _worker(one: WorkerLine) -> tuple[str, ...]:
    if one.gate != "on":
        return (one.name, GATE_WORDS.get(one.gate, one.gate), "", "")
    return (one.name, "on", f"{one.busy}/{one.slots}", f"{one.held:,}")


def _tokens(available: float | None, capacity: float | None) -> str:
    if available is None or capacity is None:
        return ""
    return f"{_tenths(available)}/{_tenths(capacity)}"


def _tenths(number: float) -> str:
    return "∞" if math.isinf(number) else f"{number:,.1f}".removesuffix(".0")


def _in_seconds(seconds: float) -> str:
    """In how long; empty where it never comes."""
    if math.isinf(seconds):
        return ""
    return short(seconds) if seconds >= SHORTEST_SECONDS else "now"


def _number(number: float | None, unit: str = "") -> str:
    """At most four digits, where it has so few."""
    if number is None:
        return ""
    if math.isinf(number):
        return "∞"
    text = f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else f"{number:.3g}"
    return text + unit
