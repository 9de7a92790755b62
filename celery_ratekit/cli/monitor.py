"""``celery-ratekit monitor``: what limits, queues and workers do, live."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from .apps import APP_OPTION
from .examples import ExampleCommand, examples
from .failing import failures_told, only_told_once
from .output import console, finite, print_json
from .throttle_options import throttle_of

if TYPE_CHECKING:
    from ..throttle import CeleryThrottle
    from .monitoring.observer import Observer
    from .monitoring.report import Report

__all__ = ["monitor"]

DEFAULT_SECONDS = 2.0

MOST_REPLY_SECONDS = 1.0
"""How long workers have to answer; with a shorter interval half of that."""


@click.command(
    cls=ExampleCommand,
    short_help="Watch limits, queues and workers.",
    epilog=examples(
        "monitor -A shop", "monitor 5 -A shop", "monitor --once -A shop", "monitor --once --json"
    ),
)
@click.argument("seconds", type=click.FloatRange(0.1, 3_600), required=False)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3_600),
    help=f"The same as SECONDS.  [default: {DEFAULT_SECONDS:g}]",
)
@click.option("--once", is_flag=True, help="One report instead of a live view.")
@click.option("--json", "as_json", is_flag=True, help="JSON: an object, or one on each line.")
@APP_OPTION
@click.pass_context
def monitor(
    context: click.Context,
    *,
    seconds: float | None,
    interval: float | None,
    once: bool,
    as_json: bool,
    app_name: str | None,
) -> None:
    """Shows rates, and the rates that are reached, anew every SECONDS (2 unless said).

    The rate that is reached is told by workers with the gate: starts under a limit, all workers
    together, between two looks. LATE is how long after limits and pool would have allowed it they
    started, on the mean. WAITING: in the backlog; HELD: in workers. Ctrl-C or SIGTERM ends it.

    Exit code of --once: 1 where Redis or the broker gives no answer, else 0.
    """
    only_told_once()
    pause = seconds or interval or DEFAULT_SECONDS
    with failures_told():
        observer = _observer(throttle_of(context, app_name), pause)
    if once:
        report = _once(observer)
        _print(report, as_json)
        context.exit(1 if report.redis_error or report.broker_error else 0)
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # The terminal is put right either way.
    with suppress(KeyboardInterrupt):
        _run(observer, pause, as_json)


def _observer(throttle: CeleryThrottle, pause: float) -> Observer:
    from .monitoring.observer import Observer  # noqa: PLC0415 - --help need not wait for it
    from .monitoring.queues import look_at_queues  # noqa: PLC0415

    return Observer(
        throttle.app, min(MOST_REPLY_SECONDS, pause / 2), lambda: look_at_queues(throttle)
    )


def _once(observer: Observer) -> Report:
    """A report from two looks: there is no rate in a single one."""
    return next(report for number, report in enumerate(_reports(observer)) if number)


def _reports(observer: Observer) -> Iterator[Report]:
    from .monitoring.paces import Paces  # noqa: PLC0415 - as above
    from .monitoring.report import report_of  # noqa: PLC0415

    paces = Paces()
    while True:
        seen = observer.look()
        names = {name for worker in seen.workers.values() for name in worker.started}
        names |= {one.name for one in seen.rates.values()}
        names |= {one.limit_name for one in seen.queues}
        paces.add(seen.workers, sorted(names))
        yield report_of(seen, paces)


def _run(observer: Observer, pause: float, as_json: bool) -> None:
    screen = console()
    is_live = screen.is_terminal and screen.file.isatty() and not screen.is_dumb_terminal
    if is_live and not as_json:
        _draw(observer, pause)
        return
    for report in _paused(_reports(observer), pause):
        if as_json:
            click.echo(json.dumps(finite(report.plain())))
        else:
            _print(report, as_json)
            click.echo()


def _draw(observer: Observer, pause: float) -> None:
    from rich.live import Live  # noqa: PLC0415 - as above

    from .monitoring.drawing import drawn  # noqa: PLC0415

    screen = console()
    with Live(
        console=screen, screen=True, auto_refresh=False, vertical_overflow="ellipsis"
    ) as live:
        for report in _paused(_reports(observer), pause):
            live.update(drawn(report, screen, screen.height), refresh=True)


def _paused(reports: Iterator[Report], pause: float) -> Iterator[Report]:
    """The reports, one after the other at this distance, as far as they come so fast."""
    begin = time.monotonic()
    for report in reports:
        yield report
        time.sleep(max(0.0, begin + pause - time.monotonic()))
        begin = time.monotonic()


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        print_json(report.plain())
        return
    from .monitoring.drawing import drawn  # noqa: PLC0415 - as above

    screen = console()
    screen.print(drawn(report, screen))
