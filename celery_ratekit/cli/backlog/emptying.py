"""Take out of the backlog what waits there: for good, or back to its queue."""

from __future__ import annotations

import click

from ..apps import APP_OPTION, app_of
from ..examples import ExampleCommand, examples
from ..failing import confirmed, failures_told
from ..limits.options import YES_OPTION
from ..terminal import escaped, on_one_line
from .looking import backlog_of

__all__ = ["COMMANDS"]


@click.command(
    cls=ExampleCommand,
    short_help="Delete tasks that wait there.",
    epilog=examples(
        "backlog purge celery -A shop",
        "backlog purge celery -A shop --task reports.build --yes",
        "backlog purge celery -A shop --limit search --key customer-7",
    ),
)
@click.argument("queue")
@click.option("--limit", "limit_name", help="Only tasks that have a limit of this name.")
@click.option("--key", help="Only tasks whose limit has this key, such as a user's id.")
@click.option("--task", help="Only tasks of this name.")
@YES_OPTION
@APP_OPTION
@click.pass_context
def purge(
    context: click.Context,
    *,
    queue: str,
    limit_name: str | None,
    key: str | None,
    task: str | None,
    yes: bool,
    app_name: str | None,
) -> None:
    """Deletes the tasks that wait in the backlog of a QUEUE; they never run.

    With several options a task has to fit all of them. What workers have claimed stays. Tasks of
    throttled queues count as failed.
    """
    from ...tasks.runtime import runtime_of  # noqa: PLC0415 - --help need not wait for them
    from ...throttle.purging import purge as purge_  # noqa: PLC0415 - as above

    app = app_of(context, app_name)
    with failures_told():
        backlog = backlog_of(app)
        waiting = backlog.sizes(queue, most_groups=0).waiting
    if not waiting:
        click.echo(f"nothing waits in the backlog of {queue!r}")
        return
    which = _which({"limit": limit_name, "key": key, "task": task})
    confirmed(f"Delete {which} of the {waiting:,} tasks that wait in {queue!r}?", yes=yes)
    with failures_told():
        count = purge_(runtime_of(app), queue, limit_name=limit_name, key=key, task=task)
    click.echo(f"{count:,} deleted")


@click.command(
    cls=ExampleCommand,
    short_help="Send what waits back to its own queues.",
    epilog=examples("backlog release -A shop", "backlog release celery mail -A shop --yes"),
)
@click.argument("queues", nargs=-1)
@YES_OPTION
@APP_OPTION
@click.pass_context
def release(
    context: click.Context, *, queues: tuple[str, ...], yes: bool, app_name: str | None
) -> None:
    """Sends what waits back to its own QUEUES, or to all: before an uninstall or a rollback.

    Each message goes to the end of the queue that it came from. Stop the workers before, or switch
    their limits off: they would park again what its limits deny. Nothing is lost when this is
    interrupted; call it again.
    """
    from kombu.exceptions import OperationalError  # noqa: PLC0415 - --help need not wait for it

    from ...release import release as release_  # noqa: PLC0415 - as above

    app = app_of(context, app_name)
    which = ", ".join(map(on_one_line, queues)) or "all queues"
    confirmed(f"Send what waits in the backlog of {which} back to the broker?", yes=yes)
    try:
        with failures_told():
            count = release_(app, queues or None)
    except OperationalError as error:
        raise click.ClickException(escaped(f"the broker takes no message: {error}")) from error
    click.echo(f"{count:,} released")


def _which(chosen: dict[str, str | None]) -> str:
    given = [f"{name} {text!r}" for name, text in chosen.items() if text is not None]
    return f"those with {' and '.join(given)}" if given else "all"


COMMANDS = (purge, release)
