"""``celery-ratekit worker``: a worker that also serves throttled queues."""

from __future__ import annotations

import click

from .apps import APP_OPTION
from .examples import ExampleCommand, examples
from .failing import failures_told
from .throttle_options import throttle_of
from .worker_options import worker_options

__all__ = ["worker"]


@click.command(
    cls=ExampleCommand,
    short_help="Run a worker with the gate.",
    epilog=examples("worker -A shop", "worker --queues=celery,mail"),
)
@APP_OPTION
@click.option(
    "--queues",
    "-Q",
    help="Celery's queues, with commas.  [default: the app's own and the target queue]",
)
@worker_options
@click.pass_context
def worker(
    context: click.Context,
    *,
    app_name: str | None,
    queues: str | None,
    concurrency: int | None,
    loglevel: str,
    prefetch_multiplier: int | None,
) -> None:
    """Runs a Celery worker until it is told to stop.

    Without an app it serves the throttled queues that the options name, with an app of its own.
    """
    with failures_told():
        throttle_of(context, app_name).run_worker(
            queues,
            concurrency=concurrency,
            loglevel=loglevel,
            prefetch_multiplier=prefetch_multiplier,
        )
