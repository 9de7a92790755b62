"""Options that several commands about limits take, and what they turn on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from ..apps import app_of
from ..failing import only_told_once
from ..params import DURATION
from ..terminal import on_one_line

if TYPE_CHECKING:
    from ...manager import Adjusted, RateLimitManager

__all__ = [
    "BY_OPTION",
    "FORCE_OPTION",
    "FOR_OPTION",
    "KEY_OPTION",
    "NAME_ARGUMENT",
    "REASON_OPTION",
    "YES_OPTION",
    "manager_of",
    "tell",
]

NAME_ARGUMENT = click.argument("name")

KEY_OPTION = click.option("--key", help="Only this key of the limit, such as a user's id.")

FOR_OPTION = click.option(
    "--for", "for_seconds", type=DURATION, help="For a time: 90, 10m, 2h, 1d.  [default: for good]"
)

REASON_OPTION = click.option("--reason", default="", help="Why; kept with what is set.")

BY_OPTION = click.option("--by", help="Who; kept with what is set.  [default: user@host:pid]")

FORCE_OPTION = click.option(
    "--force", is_flag=True, help="Take a name that this app does not know: another app has it."
)

YES_OPTION = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


def manager_of(context: click.Context, app_name: str | None) -> RateLimitManager:
    """The manager of the app that the command is about."""
    from ...manager import RateLimitManager  # noqa: PLC0415 - --help need not wait for it

    only_told_once()
    return RateLimitManager(app_of(context, app_name))


def tell(changes: Iterable[Adjusted]) -> None:
    """Prints what each limit is now, and what it was before."""
    for one in changes:
        name = on_one_line(one.name) or "all limits"
        key = f" of {one.key!r}" if one.key else ""
        was = f" (before: {on_one_line(one.old)})" if one.old else ""
        click.echo(f"{name}{key}: {on_one_line(one.new) or 'as the code says'}{was}")
        for worker, answer in one.replies.items():
            click.echo(f"  {on_one_line(str(worker))}: {on_one_line(str(answer))}")
