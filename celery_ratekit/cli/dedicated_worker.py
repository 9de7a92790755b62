"""``celery-ratekit dedicated-worker``: a worker for throttled queues alone."""

from __future__ import annotations

import click

from .apps import APP_OPTION
from .examples import ExampleCommand, examples
from .failing import failures_told
from .throttle_options import throttle_of
from .worker_options import worker_options

__all__ = ["dedicated_worker"]


@click.command(
    cls=ExampleCommand,
    short_help="Run a worker for throttled queues alone.",
    epilog=examples("--queue-prefix=api dedicated-worker -A shop"),
)
@APP_OPTION
@worker_options
@click.pass_context
def dedicated_worker(
    context: click.Context,
    *,
    app_name: str | None,
    concurrency: int | None,
    loglevel: str,
    prefetch_multiplier: int | None,
) -> None:
    """Runs a Celery worker that consumes nothing but the target queue."""
    with failures_told():
        throttle_of(context, app_name).run_dedicated_worker(
            concurrency=concurrency, loglevel=loglevel, prefetch_multiplier=prefetch_multiplier
        )
