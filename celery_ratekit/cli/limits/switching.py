"""Stop, let pass, begin anew."""

from __future__ import annotations

import click

from ..apps import APP_OPTION
from ..examples import ExampleCommand, examples
from ..failing import confirmed, failures_told
from ..params import DURATION
from ..terminal import on_one_line
from .options import (
    BY_OPTION,
    FOR_OPTION,
    FORCE_OPTION,
    KEY_OPTION,
    NAME_ARGUMENT,
    REASON_OPTION,
    YES_OPTION,
    manager_of,
    tell,
)

__all__ = ["COMMANDS"]


@click.command(
    cls=ExampleCommand,
    short_help="Let nothing start until `resume`.",
    epilog=examples("limits pause charge -A shop --for 10m"),
)
@NAME_ARGUMENT
@KEY_OPTION
@FOR_OPTION
@REASON_OPTION
@BY_OPTION
@FORCE_OPTION
@APP_OPTION
@click.pass_context
def pause(
    context: click.Context,
    *,
    name: str,
    key: str | None,
    for_seconds: float | None,
    reason: str,
    by: str | None,
    force: bool,
    app_name: str | None,
) -> None:
    """Lets nothing start under a limit, or under one key of it, until `resume`."""
    with failures_told():
        changed = manager_of(context, app_name).pause(
            name, key=key, for_seconds=for_seconds, reason=reason, by=by, force=force
        )
    tell([changed])


@click.command(cls=ExampleCommand, epilog=examples("limits resume charge -A shop"))
@NAME_ARGUMENT
@KEY_OPTION
@REASON_OPTION
@BY_OPTION
@FORCE_OPTION
@APP_OPTION
@click.pass_context
def resume(
    context: click.Context,
    *,
    name: str,
    key: str | None,
    reason: str,
    by: str | None,
    force: bool,
    app_name: str | None,
) -> None:
    """Ends a pause, or a rate of 0."""
    with failures_told():
        changed = manager_of(context, app_name).resume(
            name, key=key, reason=reason, by=by, force=force
        )
    tell([changed])


@click.command(
    cls=ExampleCommand,
    short_help="Let nothing start for a time.",
    epilog=examples("limits freeze charge 30s -A shop"),
)
@NAME_ARGUMENT
@click.argument("time", type=DURATION)
@KEY_OPTION
@FORCE_OPTION
@APP_OPTION
@click.pass_context
def freeze(
    context: click.Context,
    *,
    name: str,
    time: float,
    key: str | None,
    force: bool,
    app_name: str | None,
) -> None:
    """Lets nothing start for a TIME, such as 30, 30s or 10m; a longer freeze stays."""
    with failures_told():
        frozen = manager_of(context, app_name).freeze(name, time, key, force=force)
    click.echo(f"{on_one_line(name)}: frozen for {frozen:.1f} s")


@click.command(cls=ExampleCommand, epilog=examples("limits unfreeze charge -A shop"))
@NAME_ARGUMENT
@KEY_OPTION
@FORCE_OPTION
@APP_OPTION
@click.pass_context
def unfreeze(
    context: click.Context, *, name: str, key: str | None, force: bool, app_name: str | None
) -> None:
    """Ends a freeze early."""
    with failures_told():
        manager_of(context, app_name).unfreeze(name, key, force=force)
    click.echo(f"{on_one_line(name)}: not frozen")


@click.command(
    cls=ExampleCommand,
    short_help="Let everything pass, until `enable`.",
    epilog=examples(
        'limits disable charge -A shop --reason "incident 17"',
        "limits disable -A shop --yes --for 1h",
    ),
)
@click.argument("name", required=False)
@FOR_OPTION
@REASON_OPTION
@BY_OPTION
@FORCE_OPTION
@YES_OPTION
@APP_OPTION
@click.pass_context
def disable(
    context: click.Context,
    *,
    name: str | None,
    for_seconds: float | None,
    reason: str,
    by: str | None,
    force: bool,
    yes: bool,
    app_name: str | None,
) -> None:
    """Lets everything pass a limit, or all limits of a task; without a NAME all that there are."""
    manager = manager_of(context, app_name)
    which = "all limits of all workers" if name is None else f"the limits of {name!r}"
    confirmed(f"Switch off {which}?", yes=yes)
    with failures_told():
        changed = manager.disable(name, for_seconds=for_seconds, reason=reason, by=by, force=force)
    tell(changed)


@click.command(
    cls=ExampleCommand,
    short_help="End `disable`.",
    epilog=examples("limits enable charge -A shop", "limits enable -A shop"),
)
@click.argument("name", required=False)
@REASON_OPTION
@BY_OPTION
@FORCE_OPTION
@APP_OPTION
@click.pass_context
def enable(
    context: click.Context,
    *,
    name: str | None,
    reason: str,
    by: str | None,
    force: bool,
    app_name: str | None,
) -> None:
    """Ends `disable` of the same NAME; without one that of all limits."""
    with failures_told():
        changed = manager_of(context, app_name).enable(name, reason=reason, by=by, force=force)
    tell(changed)


@click.command(
    cls=ExampleCommand,
    short_help="Forget what was counted for a limit.",
    epilog=examples("limits reset search -A shop --key customer-7"),
)
@NAME_ARGUMENT
@KEY_OPTION
@YES_OPTION
@APP_OPTION
@click.pass_context
def reset(
    context: click.Context, *, name: str, key: str | None, yes: bool, app_name: str | None
) -> None:
    """Forgets what was counted for a limit, or for one key of it, and its freeze.

    A bucket is full again, a window empty, and places are free although their calls may still run.
    Rates that were set stay. Without --key it is about what all calls share.
    """
    manager = manager_of(context, app_name)
    whose = "" if key is None else f" of the key {key!r}"
    confirmed(f"Forget what {name!r} has counted{whose}?", yes=yes)
    with failures_told():
        names = manager.reset(name, key)
    for one in names:
        click.echo(f"{on_one_line(one)}{whose}: as if never used")


COMMANDS = (pause, resume, freeze, unfreeze, disable, enable, reset)
