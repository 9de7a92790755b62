"""``celery-ratekit worker-status``: the workers that run."""

from __future__ import annotations

from dataclasses import asdict

import click

from .apps import APP_OPTION
from .examples import ExampleCommand, examples
from .failing import failures_told
from .output import JSON_OPTION, print_json, print_table
from .throttle_options import throttle_of

__all__ = ["worker_status"]


@click.command(
    cls=ExampleCommand,
    short_help="Show the workers that run.",
    epilog=examples("worker-status", "worker-status -d", "worker-status --json"),
)
@APP_OPTION
@click.option("--detailed", "-d", is_flag=True, help="Show each of their queues as well.")
@JSON_OPTION
@click.pass_context
def worker_status(
    context: click.Context, *, app_name: str | None, detailed: bool, as_json: bool
) -> None:
    """Shows every worker that answers within a second.

    Exit code 1 where none consumes the target queue of the throttled queues.
    """
    with failures_told():
        throttle = throttle_of(context, app_name)
        workers = throttle.get_worker_info()
        summary = throttle.get_worker_queue_summary()
    is_healthy = bool(summary[throttle.config.target_queue].workers_listening)
    if as_json:
        print_json(
            {
                "healthy": is_healthy,
                "workers": [asdict(one) for one in workers.values()],
                "queues": [asdict(one) for one in summary.values()],
            }
        )
    else:
        print_table(
            ["WORKER", "STATUS", ">TOTAL", ">ACTIVE", ">RESERVED"],
            [
                [
                    one.name,
                    one.status,
                    str(one.total_tasks),
                    str(one.active_tasks),
                    str(one.reserved_tasks),
                ]
                for one in workers.values()
            ],
            empty="no worker answers",
        )
        if detailed:
            click.echo()
            print_table(
                ["QUEUE", ">SIZE", "WORKERS"],
                [
                    [one.name, str(one.total_size), ", ".join(one.workers_listening) or "none"]
                    for one in summary.values()
                ],
                empty="no queue is consumed",
            )
    context.exit(0 if is_healthy else 1)
