from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from celery_ratekit.cli.terminal import escaped
from celery_ratekit.demo.figures import figures_of
from celery_ratekit.demo.journal import Start
from celery_ratekit.demo.plan import Plan
from celery_ratekit.demo.progress import Progress
from celery_ratekit.demo.views import view_for
from celery_ratekit.demo.views.chart import bars, counts_over_time, full_scale, limit_line
from celery_ratekit.demo.views.live import LiveView, chart_lines
from celery_ratekit.demo.views.plain import PlainView
from celery_ratekit.rates import Rate

PLAN = Plan(
    rate=Rate.parse("40/s"),
    burst=1,
    arrivals=Rate.parse("80/s"),
    tasks=100_000,
    workers=16,
    concurrency=32,
    gate=True,
)
HOSTILE = "worker \x1b]0;title\x07\x1b[2J\r\x9b31m\u202e[bold]name[/bold] :smile: \ud800"


def progress_of(starts: int) -> Progress:
    progress = Progress(PLAN)
    progress.sent = PLAN.tasks
    progress.held = 2_048
    progress.add(
        Start(number, 1_000 + number / 40, 1_000 + number / 40, 0) for number in range(starts)
    )
    return progress


def live_view(width: int) -> tuple[LiveView, io.StringIO]:
    output = io.StringIO()
    console = Console(
        file=output,
        width=width,
        height=30,
        force_terminal=True,
        color_system=None,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},
    )
    return LiveView(PLAN, console), output


@pytest.mark.parametrize("char", ["\x1b", "\x07", "\r", "\x00", "\x7f", "\x9b", "\u202e", "\ud800"])
def test_what_could_steer_a_terminal_is_written_out(char: str) -> None:
    shown = escaped(f"a{char}b")
    assert shown.startswith("a\\")
    assert shown.isprintable()


def test_plain_text_newlines_and_tabs_stay() -> None:
    assert escaped("größe\tone\ntwo 👍") == "größe\tone\ntwo 👍"


def test_plain_lines_show_hostile_texts_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainView(PLAN) as view:
        view.say(HOSTILE)
    shown = capsys.readouterr().out
    assert shown.replace("\n", "").isprintable()
    assert "[bold]name[/bold] :smile:" in shown


def test_the_live_view_shows_hostile_texts_escaped() -> None:
    view, output = live_view(140)
    with view:
        view.say(HOSTILE)
        view._live.refresh()
    shown = output.getvalue()
    assert escaped(HOSTILE) in shown
    for steering in ("\x07", "\x9b", "\u202e", "\x1b]0", "\x1b[2J"):
        assert steering not in shown


@pytest.mark.parametrize("width", [80, 140])
def test_no_line_of_the_live_view_is_wider_than_the_terminal(width: int) -> None:
    view, _ = live_view(width)
    with view:
        view.show(progress_of(90_000))
        picture = view._live.renderable
    view.report(figures_of(progress_of(90_000).starts, PLAN, resent=99_999))
    paper = Console(file=io.StringIO(), width=400, color_system=None, _environ={})
    paper.print(picture)
    assert isinstance(paper.file, io.StringIO)
    lines = paper.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert any("90000 of 100000 done" in line for line in lines)


def test_plain_lines_fit_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView(PLAN)
    with view:
        view.show(progress_of(99_998))
    view.report(figures_of(progress_of(99_998).starts, PLAN, resent=99_999))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("99998 done, 2 waiting (2048 held)" in line for line in lines)


def test_the_view_is_plain_where_the_output_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr("sys.stdout", log)
        assert isinstance(view_for(PLAN, plain=False), PlainView)


def test_bars_fill_their_rows_by_eighths() -> None:
    assert bars([0, 1, 8, 12, 16, 99], scale=16, height=2) == ["   ▄██", " ▁████"]


def test_the_limit_lies_under_the_top_row_while_the_counts_keep_to_it() -> None:
    scale = full_scale([38, 41], 40, 5)
    assert scale == 50
    assert limit_line(40, scale, 5) == (0, "▁")


def test_a_burst_above_the_limit_fits_the_chart() -> None:
    scale = full_scale([120, 40], 40, 6)
    assert scale == 120
    # A third of six rows: the upper two thirds of the chart are above the limit.
    assert limit_line(40, scale, 6) == (3, "▁")


def test_the_chart_spans_the_whole_run_and_draws_what_has_been() -> None:
    plan = Plan(
        rate=Rate.parse("40/s"),
        burst=1,
        arrivals=Rate.unlimited(),
        tasks=401,
        workers=2,
        concurrency=4,
        gate=True,
    )
    progress = Progress(plan)
    assert counts_over_time(progress, 20, now=1_000) == []
    progress.add(
        Start(number, 1_000 + number / 40, 1_000 + number / 40, 0) for number in range(121)
    )
    # Ten seconds in 20 columns; three have passed: the ramp of the first second, then the limit.
    assert counts_over_time(progress, 20, now=1_003) == [21, 41, 41, 41, 41, 41]


def test_the_limit_line_of_the_chart_carries_its_label() -> None:
    lines = [line.plain for line in chart_lines(progress_of(2), 60, 1_001)]
    assert lines[0].startswith("limit 40/s ▁▁▁")
    assert {len(line) for line in lines} == {60}


def test_a_chart_without_room_is_empty() -> None:
    assert chart_lines(progress_of(90), 3, 1_002)
