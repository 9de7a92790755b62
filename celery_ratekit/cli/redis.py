"""``celery-ratekit redis``: a private Redis in the foreground, to try things with."""

from __future__ import annotations

import shlex
import signal

import click

from .examples import ExampleCommand, examples
from .failing import failures_told

__all__ = ["redis"]

STOPPING = (signal.SIGINT, signal.SIGTERM)


@click.command(
    cls=ExampleCommand,
    short_help="Run a private Redis until Ctrl-C.",
    epilog=examples("redis", "redis --tcp"),
)
@click.option(
    "--tcp",
    is_flag=True,
    help="Listen on a free port of 127.0.0.1, with a random password that is printed, instead of "
    "on a unix socket of your own.",
)
def redis(*, tcp: bool) -> None:
    """Starts a private Redis, prints its addresses, and stops it at Ctrl-C.

    It keeps its data in memory and leaves nothing behind: for trials, never for production. No
    other machine reaches it, and no other user of this one.
    """
    from ..embedded import EmbeddedRedis  # noqa: PLC0415 - --help need not wait for it

    with failures_told(), EmbeddedRedis(tcp=tcp) as server:
        signal.pthread_sigmask(
            signal.SIG_BLOCK, STOPPING
        )  # Not before: the server would inherit it.
        click.echo(f"# Redis {server.version}; Ctrl-C stops it and removes what it holds")
        click.echo(f"export CELERY_BROKER_URL={shlex.quote(server.celery_url)}")
        click.echo(f"export REDIS_URL={shlex.quote(server.url)}")
        signal.sigwait(STOPPING)
    click.echo("# stopped")
