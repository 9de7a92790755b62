"""``celery-ratekit explain``: why a task has not started yet, or what a limit is."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from .apps import APP_OPTION, app_of
from .examples import ExampleCommand, examples
from .failing import failures_told, only_told_once
from .output import JSON_OPTION, print_json
from .terminal import on_one_line

__all__ = ["explain"]


@click.command(
    cls=ExampleCommand,
    short_help="Why a task waits, and when it will start.",
    epilog=examples(
        "explain 3f2504e0-4f89-11d3-9a0c-0305e82c3301 -A shop", "explain charge -A shop"
    ),
)
@click.argument("what", metavar="TASK_ID|NAME")
@APP_OPTION
@JSON_OPTION
@click.pass_context
def explain(context: click.Context, *, what: str, app_name: str | None, as_json: bool) -> None:
    """Says where a task is, what it waits for and when it is likely to start.

    Of a limit's or task's name it says what counts for it now. Exit code 1: neither the backlog nor
    any worker that answers knows such a task; it is over, still in its broker, or was never sent.
    """
    only_told_once()
    app = app_of(context, app_name)
    with failures_told():
        found = _found(app, what)
    if found is None:
        raise click.ClickException(
            f"no task and no limit {what!r:.200} is known: if it is a task's id, the task "
            "is over, still in its broker, or was never sent"
        )
    if as_json:
        print_json(_plain(found))
    else:
        click.echo(_text(found))


def _found(app: Any, what: str) -> Any:
    from ..errors import UnknownLimitError  # noqa: PLC0415 - --help need not wait for them
    from ..manager import RateLimitManager  # noqa: PLC0415

    try:
        return RateLimitManager(app).explain(what)
    except UnknownLimitError:
        return None


def _text(found: Any) -> str:
    from ..explain import TaskExplanation  # noqa: PLC0415 - as above
    from .limits.looking import explained_text  # noqa: PLC0415

    return on_one_line(str(found)) if isinstance(found, TaskExplanation) else explained_text(found)


def _plain(found: Any) -> dict[str, Any]:
    from ..explain import TaskExplanation  # noqa: PLC0415 - as above
    from .limits.looking import explained  # noqa: PLC0415

    return dataclasses.asdict(found) if isinstance(found, TaskExplanation) else explained(found)
