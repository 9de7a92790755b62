"""What waits, where, and for which limits."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..apps import APP_OPTION, app_of
from ..durations import short
from ..examples import ExampleCommand, examples
from ..failing import failures_told, only_told_once
from ..output import JSON_OPTION, print_json, print_table

if TYPE_CHECKING:
    from ...backlog import Backlog
    from ...backlog.values import Sizes, Waiting

__all__ = ["COMMANDS", "backlog_of"]

MOST_GROUPS = 1_000
"""How many groups of a queue are looked at for its oldest task."""

MOST_SHOWN = 3
"""How many limits of a queue are named in a table."""


@click.command(
    "list",
    cls=ExampleCommand,
    short_help="List the queues that have tasks in the backlog.",
    epilog=examples("backlog list -A shop", "backlog list --json"),
)
@APP_OPTION
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, *, app_name: str | None, as_json: bool) -> None:
    """Lists the queues that have tasks in the backlog, and the limits that these wait for."""
    app = app_of(context, app_name)
    with failures_told():
        backlog = backlog_of(app)
        sizes = {one: backlog.sizes(one, most_groups=MOST_GROUPS) for one in backlog.queues()}
    if as_json:
        print_json([{"queue": queue, **dataclasses.asdict(one)} for queue, one in sizes.items()])
        return
    print_table(
        ("QUEUE", ">WAITING", ">CLAIMED", ">GROUPS", ">OLDEST", "WAITING FOR"),
        [_row(queue, one) for queue, one in sizes.items()],
        empty="nothing waits in the backlog",
    )


@click.command(
    cls=ExampleCommand,
    short_help="Show the first tasks that wait there.",
    epilog=examples(
        "backlog peek celery -A shop",
        "backlog peek celery -A shop --limit charge --arguments -n 3",
    ),
)
@click.argument("queue")
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="How many tasks to show.",
)
@click.option("--limit", "limit_name", help="Only tasks that have a limit of this name.")
@click.option(
    "--arguments",
    is_flag=True,
    help="Show what the tasks are called with, where it is JSON. It may be anybody's data.",
)
@APP_OPTION
@JSON_OPTION
@click.pass_context
def peek(
    context: click.Context,
    *,
    queue: str,
    count: int,
    limit_name: str | None,
    arguments: bool,
    app_name: str | None,
    as_json: bool,
) -> None:
    """Shows the first tasks that wait in the backlog of a QUEUE, in the order of their turns."""
    app = app_of(context, app_name)
    with failures_told():
        backlog = backlog_of(app)
        waiting = backlog.peek(queue, count, limit_name=limit_name)
        called = [_arguments(backlog, one) for one in waiting] if arguments else None
    if as_json:
        print_json(_plain(waiting, called))
        return
    now = time.time()
    headings = ("TASK", "ID", "WAITING FOR", ">SINCE")
    rows = [
        (one.task, one.task_id, one.limit_name, short(max(0.0, now - one.parked_at)))
        for one in waiting
    ]
    if called is not None:
        headings = (*headings, "ARGUMENTS")  # type: ignore[assignment]
        rows = [(*row, str(one)) for row, one in zip(rows, called, strict=True)]  # type: ignore[misc]
    print_table(headings, rows, empty="nothing waits there")


def backlog_of(app: Any) -> Backlog:
    """The backlog of an app; asks nothing."""
    from ...tasks.runtime import runtime_of  # noqa: PLC0415 - --help need not wait for it

    only_told_once()
    return runtime_of(app).backlog


def _row(queue: str, sizes: Sizes) -> tuple[str, ...]:
    numbers = (f"{number:,}" for number in (sizes.waiting, sizes.claimed, sizes.groups))
    oldest = short(sizes.oldest_age_seconds) if sizes.waiting else ""
    return (queue, *numbers, oldest, _first(sizes.by_limit))


def _first(counts: Mapping[str, int]) -> str:
    """The names with the most, and how many more there are."""
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    shown = ", ".join(f"{name}: {count:,}" for name, count in ranked[:MOST_SHOWN])
    more = len(ranked) - MOST_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown


def _arguments(backlog: Backlog, one: Waiting) -> Any:
    from .arguments import Arguments, arguments_of  # noqa: PLC0415 - as above

    packed = backlog.message(one.queue, one.entry_id)
    return Arguments(problem="it has started meanwhile") if packed is None else arguments_of(packed)


def _plain(waiting: list[Waiting], called: list[Any] | None) -> list[dict[str, Any]]:
    shown = []
    for index, one in enumerate(waiting):
        plain = dataclasses.asdict(one)
        del plain["entry_id"]
        if called is not None:
            plain["arguments"] = called[index]._asdict()
        shown.append(plain)
    return shown


COMMANDS = (list_, peek)
