"""Reached rates, graphs, and the picture of them."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from celery_ratekit import TokenBucket
from celery_ratekit.backlog.values import Sizes
from celery_ratekit.cli.monitoring.drawing import drawn
from celery_ratekit.cli.monitoring.fitting import fitted
from celery_ratekit.cli.monitoring.graph import ASCII, graph
from celery_ratekit.cli.monitoring.paces import HISTORY, Paces, pace_between
from celery_ratekit.cli.monitoring.report import Report, per_second_of, report_of
from celery_ratekit.cli.monitoring.seen import (
    QueueSeen,
    Seen,
    Started,
    WorkerSeen,
    worker_seen,
)
from celery_ratekit.limiter.decision import LimitState
from celery_ratekit.manager import CurrentRate

HOSTILE = "evil \x1b[31m[red]\n\u202e name"
QUEUE = QueueSeen(HOSTILE, "p/q", "5/1m", True, 7, 1, 20, 2, 0.0, 0.5, 5.0, 1 / 12, 6.0)


def worker(clock: float, count: int, late: float = 0.0) -> WorkerSeen:
    return WorkerSeen("on", 4, 1, clock, {"charge": Started(count, late)}, {"charge": 2})


def test_a_reached_rate_is_what_all_workers_started_by_their_own_clocks() -> None:
    pairs = [
        (worker(10, 100, 1.0), worker(12, 140, 1.4)),  # 40 in 2 s
        (worker(500, 7), worker(501, 12)),  # 5 in 1 s
    ]
    pace = pace_between(pairs, "charge")

    assert pace.per_second == pytest.approx(25)
    assert pace.late_seconds == pytest.approx(0.4 / 45)
    assert pace_between(pairs, "other").late_seconds is None


def test_a_rate_needs_two_looks_at_the_same_worker() -> None:
    paces = Paces()
    paces.add({"a": worker(10, 5)}, ["charge"])
    assert paces.of("charge") is None
    paces.add({"b": worker(20, 5)}, ["charge"])
    assert (paces.of("charge"), paces.is_known) == (None, False)
    paces.add({"b": worker(21, 9)}, ["charge"])
    assert paces.of("charge") is not None
    assert paces.past("charge") == [4.0]


def test_a_worker_that_began_anew_tells_nothing() -> None:
    assert pace_between([(worker(10, 900), worker(11, 3))], "charge").per_second == 0


def test_the_past_is_bounded_and_forgets_limits_that_are_gone() -> None:
    paces = Paces()
    for clock in range(HISTORY + 10):
        paces.add({"a": worker(clock, clock)}, ["charge"])
    assert len(paces.past("charge")) == HISTORY
    paces.add({"a": worker(1_000, 1_000)}, ["other"])
    assert paces.past("charge") == []


@pytest.mark.parametrize(
    "reply", [None, {}, [], {"error": "unknown"}, {"gate": "on"}, {"gate": "on", "slots": 3}]
)
def test_whatever_a_worker_answers_can_be_read(reply: object) -> None:
    assert worker_seen(reply).gate in ("on", "none")
    assert worker_seen({"gate": "off"}).gate == "off"


def test_a_graph_is_full_at_the_rate_and_as_wide_as_it_may_be() -> None:
    assert graph([0, 10, 99], 10, 10) == "▁██"
    assert graph(range(100), math.inf, 4) == "████"  # 96 to 99 of at most 99
    assert graph([0, 0], 0, 4) == "▁▁"
    assert graph([], 10, 4) == graph([1], 10, 0) == ""
    assert graph([0, 10], 10, 4, ASCII) == "_#"


@pytest.mark.parametrize(
    ("rate", "per_second"),
    [("60/m", 1.0), ("paused", 0.0), ("unlimited", math.inf), ("", None), ("nonsense", None)],
)
def test_the_rate_of_a_text(rate: str, per_second: float | None) -> None:
    assert per_second_of(rate) == per_second


def report() -> Report:
    paces = Paces()
    for clock, count in ((10, 0), (11, 20)):
        paces.add({HOSTILE: worker(clock, count, count / 1000)}, ["charge", HOSTILE, "p/q"])
    limit = TokenBucket("charge", "20/s", burst=5)
    seen = Seen(
        at=1_000.0,
        redis_ms=0.25,
        redis_version="7.0.15",
        rates={
            "charge": CurrentRate("charge", "TokenBucket", "20/s", "20/s"),
            HOSTILE: CurrentRate(HOSTILE, "TokenBucket", "5/s", "paused"),
        },
        states=[LimitState(limit, 2.5, 5.0, 0.0, 0.0, "")],
        backlog={HOSTILE: Sizes(9, 1, 2, {"t": 9}, {"charge": 9}, 75.0)},
        workers={HOSTILE: worker(11, 20), "plain": WorkerSeen("none")},
        queues=[QUEUE, replace(QUEUE, active=False, next_token_seconds=math.inf)],
    )
    return report_of(seen, paces)


def text_of(report: Report, columns: int, lines: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=columns, highlight=False, markup=False)
    console.print(drawn(report, console, lines))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_report_has_what_waits_where_and_what_was_reached() -> None:
    charge = report().limits[0]

    assert (charge.reached, charge.allowed) == (20.0, 20.0)
    assert (charge.waiting, charge.held) == (9, 2)
    assert (charge.available, charge.capacity) == (2.5, 5.0)
    assert charge.late_seconds == pytest.approx(0.001)


@pytest.mark.parametrize("columns", [80, 140])
def test_no_line_is_wider_than_the_screen_and_no_number_is_cut(columns: int) -> None:
    shown = text_of(report(), columns)

    assert max(len(line) for line in shown.splitlines()) <= columns
    for part in ("20/s", "2.5/5", "1ms", "1m 15s", "3/4", "5/1m", "connected, 0.2 ms"):
        assert part in shown, part
    assert ("REFILL" in shown) == (columns == 140)


@pytest.mark.parametrize("lines", [22, 30, 60])
def test_a_low_screen_shows_the_busiest_rows_of_every_table(lines: int) -> None:
    (line, *_) = report().queues
    queues = [
        replace(line, queue=replace(QUEUE, name=f"q{number}", waiting=number, processing=0))
        for number in range(100)
    ]
    shown = text_of(replace(report(), queues=queues), 80, lines).splitlines()

    assert len(shown) <= lines
    for part in ("charge", "q99", "plain", "Backlog", "more"):
        assert any(part in one for one in shown), part
    assert not any("q0 " in one for one in shown)
    assert len(text_of(replace(report(), queues=queues), 80).splitlines()) > 100


@pytest.mark.parametrize(
    ("sizes", "lines", "expected"),
    [
        ([], 10, []),
        ([3, 2], 5, [3, 2]),
        ([3, 2], 4, [1, 2]),
        ([100, 1, 100], 21, [9, 1, 9]),
        ([4, 4], -3, [0, 0]),
    ],
)
def test_small_tables_are_whole_and_large_ones_share_what_is_left(
    sizes: list[int], lines: int, expected: list[int]
) -> None:
    assert fitted(sizes, lines) == expected


@pytest.mark.parametrize("columns", [80, 140])
def test_hostile_names_neither_colour_nor_break_the_picture(columns: int) -> None:
    shown = text_of(report(), columns)

    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "evil" in shown
    assert not any(line.startswith(" name") for line in shown.splitlines())


def test_without_answers_it_says_so() -> None:
    away = report_of(Seen(at=0.0, redis_error="refused\x1b[2J", broker_error="gone"), Paces())
    shown = text_of(away, 80)

    assert "Redis gives no answer: refused\\x1b[2J" in shown
    assert "The broker gives no answer: gone" in shown
