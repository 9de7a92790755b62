"""``celery-ratekit exporter``: tells Prometheus what Redis knows, whether a worker runs or not."""

from __future__ import annotations

import signal

import click

from ..errors import RatekitError
from .apps import APP_OPTION, app_of
from .examples import ExampleCommand, examples
from .terminal import escaped

__all__ = ["DEFAULT_PORT", "exporter"]

DEFAULT_PORT = 9_809

STOPPING = (signal.SIGINT, signal.SIGTERM)


@click.command(
    cls=ExampleCommand,
    short_help="Serve the state of limits and backlog to Prometheus.",
    epilog=examples("exporter -A shop", "exporter --port 0 -A shop"),
)
@APP_OPTION
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="The port to serve; 0: any that is free.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to serve. There is no password: who reaches it can read the metrics.",
)
@click.pass_context
def exporter(context: click.Context, *, app_name: str | None, port: int, host: str) -> None:
    """Serves sizes of the backlog, rates, tokens and freezes until it is stopped.

    What only workers can count, they serve themselves: see the setting ratekit_metrics_port.
    """
    # Only this command needs them.
    from ..metrics.exported import serve  # noqa: PLC0415
    from ..tasks.runtime import runtime_of  # noqa: PLC0415

    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # Threads that begin later do as well.
    try:
        app = app_of(context, app_name)
        _ = runtime_of(app).settings.found_redis_url  # There is nothing to tell without one.
        server = serve(app, host, port)
    except (OSError, RatekitError) as error:
        raise click.ClickException(escaped(f"cannot serve {host} port {port}: {error}")) from error
    click.echo(f"metrics under http://{host}:{server.port}/metrics")
    signal.sigwait(STOPPING)
    server.close()
