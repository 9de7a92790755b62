"""``celery-ratekit queue``: make throttled queues, look at them and change them."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..rates import Rate
from .apps import APP_OPTION
from .examples import ExampleGroup, examples
from .failing import confirmed, failures_told
from .limits.options import YES_OPTION
from .output import JSON_OPTION, print_json, print_table
from .params import RATE
from .terminal import on_one_line
from .throttle_options import throttle_of

if TYPE_CHECKING:
    from ..throttle.stats import QueueStats

__all__ = ["queue"]

NAME = click.argument("name")

MOST_TEST_TASKS = 100_000


@click.group(
    cls=ExampleGroup,
    short_help="Make, show and change throttled queues.",
    epilog=examples('queue create "10/1m" --name stripe', "queue list", "queue test stripe 5"),
)
def queue() -> None:
    """Throttled queues: named limits with a backlog."""


@queue.command(
    "create", epilog=examples('queue create "10/1m"', 'queue create "100/1h:20" --name stripe')
)
@click.argument("rate", type=RATE)
@click.option("--name", help="Its name; one without a name of its own expires an hour after use.")
@APP_OPTION
@click.pass_context
def create(context: click.Context, *, rate: Rate, name: str | None, app_name: str | None) -> None:
    """Makes a queue and prints its name."""
    with failures_told():
        click.echo(on_one_line(throttle_of(context, app_name).create_queue(rate, name)))


@queue.command("list", epilog=examples("queue list", "queue list --json"))
@APP_OPTION
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, *, app_name: str | None, as_json: bool) -> None:
    """Shows every queue."""
    with failures_told():
        stats = throttle_of(context, app_name).queue_manager.all_stats()
    if as_json:
        print_json([_plain(one) for one in stats])
        return
    headings = ["QUEUE", "RATE", "STATE", ">WAITING", ">PROCESSING", ">COMPLETED", ">FAILED"]
    print_table(headings, [_row(one) for one in stats], empty="there is no throttled queue")


@queue.command("show", epilog=examples("queue show stripe"))
@NAME
@APP_OPTION
@JSON_OPTION
@click.pass_context
def show(context: click.Context, *, name: str, app_name: str | None, as_json: bool) -> None:
    """Shows one queue and what its limit holds."""
    with failures_told():
        manager = throttle_of(context, app_name).queue_manager
        stats, status = manager.get_queue_stats(name), manager.get_rate_limit_status(name)
    if as_json:
        print_json({**_plain(stats), "rate_limit_status": status})
        return
    wait = status["next_token_in"]
    rows = [
        ["queue", stats.name],
        ["rate", str(stats.rate_limit)],
        ["state", _state(stats)],
        ["created", f"{stats.created_at:%Y-%m-%d %H:%M:%S} UTC"],
        ["waiting", str(stats.tasks_waiting)],
        ["processing", str(stats.tasks_processing)],
        ["completed", str(stats.tasks_completed)],
        ["failed", str(stats.tasks_failed)],
        ["tokens", f"{status['available_tokens']:.2f} of {status['capacity']:g}"],
        ["refill rate", f"{status['refill_rate']:g}/s"],
        ["next token", "not before it is activated" if math.isinf(wait) else f"in {wait:.3g} s"],
    ]
    for what, value in rows:
        click.echo(f"{what:12}{on_one_line(value)}")


@queue.command("test", epilog=examples("queue test stripe 5"))
@NAME
@click.argument("count", type=click.IntRange(1, MOST_TEST_TASKS), default=5)
@APP_OPTION
@click.pass_context
def test(context: click.Context, *, name: str, count: int, app_name: str | None) -> None:
    """Submits tasks to a queue that do nothing."""
    # Celery takes its time to load, which --help need not wait for.
    from ..throttle.tasks.processor import TEST_FIELD  # noqa: PLC0415

    with failures_told():
        throttle = throttle_of(context, app_name)
        done = throttle.submit_multiple_tasks(name, [{TEST_FIELD: n} for n in range(count)])
    click.echo(f"{done['submitted']} sent now, {done['queued']} wait")


@queue.command("update", epilog=examples('queue update stripe "20/1m"'))
@NAME
@click.argument("rate", type=RATE)
@APP_OPTION
@click.pass_context
def update(context: click.Context, *, name: str, rate: Rate, app_name: str | None) -> None:
    """Gives a queue another rate, for what waits too."""
    _change(context, app_name, name, "update_rate_limit", f"its rate is {rate}", rate)


@queue.command("deactivate", epilog=examples("queue deactivate stripe"))
@NAME
@APP_OPTION
@click.pass_context
def deactivate(context: click.Context, *, name: str, app_name: str | None) -> None:
    """Lets no task of a queue start; what is submitted waits."""
    _change(context, app_name, name, "deactivate_queue", "it is inactive; its tasks wait")


@queue.command("activate", epilog=examples("queue activate stripe"))
@NAME
@APP_OPTION
@click.pass_context
def activate(context: click.Context, *, name: str, app_name: str | None) -> None:
    """Lets a queue's tasks start again."""
    _change(context, app_name, name, "activate_queue", "it is active")


@queue.command("remove", epilog=examples("queue remove stripe", "queue remove stripe --yes"))
@NAME
@YES_OPTION
@APP_OPTION
@click.pass_context
def remove(context: click.Context, *, name: str, yes: bool, app_name: str | None) -> None:
    """Removes a queue with all that waits in it."""
    with failures_told():
        manager = throttle_of(context, app_name).queue_manager
        waiting = manager.get_queue_stats(name).tasks_waiting
    confirmed(f"Remove the queue {name!r} and the {waiting} tasks that wait in it?", yes=yes)
    _change(context, app_name, name, "remove_queue", "it is removed")


@queue.command("cleanup-empty", epilog=examples("queue cleanup-empty"))
@APP_OPTION
@click.pass_context
def cleanup_empty(context: click.Context, *, app_name: str | None) -> None:
    """Removes queues without a name of their own that were empty and idle for an hour."""
    with failures_told():
        removed = throttle_of(context, app_name).queue_manager.cleanup_empty()
    click.echo(f"{removed} removed")


def _change(
    context: click.Context,
    app_name: str | None,
    name: str,
    method: str,
    done: str,
    *arguments: Any,
) -> None:
    """Changes a queue and says so; exit code 1 where there is none of the name."""
    with failures_told():
        manager = throttle_of(context, app_name).queue_manager
        manager.record(name)
        getattr(manager, method)(name, *arguments)
    click.echo(f"{on_one_line(name)}: {done}")


def _plain(stats: QueueStats) -> dict[str, Any]:
    plain = {**asdict(stats), "rate_limit": str(stats.rate_limit)}
    return {**plain, "created_at": stats.created_at.isoformat()}


def _row(stats: QueueStats) -> list[str]:
    counts = (
        stats.tasks_waiting,
        stats.tasks_processing,
        stats.tasks_completed,
        stats.tasks_failed,
    )
    return [stats.name, str(stats.rate_limit), _state(stats), *map(str, counts)]


def _state(stats: QueueStats) -> str:
    return "active" if stats.active else "inactive"
