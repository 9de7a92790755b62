"""``celery-ratekit dispatcher``: sends what waits in throttled queues to plain workers."""

from __future__ import annotations

import click

from .apps import APP_OPTION
from .examples import ExampleCommand, examples
from .failing import failures_told
from .throttle_options import throttle_of

__all__ = ["dispatcher"]


@click.command(
    cls=ExampleCommand,
    short_help="Send what waits in throttled queues to plain workers.",
    epilog=examples("dispatcher", "--queue-prefix=api dispatcher --interval 0.5"),
)
@APP_OPTION
@click.option(
    "--interval",
    type=click.FloatRange(0, 60, min_open=True),
    default=1.0,
    show_default=True,
    help="The longest sleep, in seconds; it wakes by itself when something is due.",
)
@click.pass_context
def dispatcher(context: click.Context, *, app_name: str | None, interval: float) -> None:
    """Sends tasks at their starts until it is told to stop. Any number may run at once.

    Workers with the gate need none. It limits sending: a plain worker that is busy starts later
    what it was sent.
    """
    with failures_told():
        throttle_of(context, app_name).run_dispatcher(interval)
