"""Other rates than the code says."""

from __future__ import annotations

import json
from typing import IO

import click

from ..apps import APP_OPTION
from ..examples import ExampleCommand, examples
from ..failing import confirmed, failures_told
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

MAX_IMPORT_BYTES = 64_000_000
"""More than the overrides that are kept could take."""


@click.command(
    "set",
    cls=ExampleCommand,
    short_help="Set the rate of a limit.",
    epilog=examples(
        "limits set charge 20/m -A shop",
        "limits set search 100/m -A shop --key customer-7",
        "limits set charge 5/m -A shop --for 10m",
    ),
)
@NAME_ARGUMENT
@click.argument("rate")
@KEY_OPTION
@FOR_OPTION
@REASON_OPTION
@BY_OPTION
@click.option(
    "--worker",
    "workers",
    multiple=True,
    help="Of a plain task with Celery's own limit: only this worker. May be given again.",
)
@FORCE_OPTION
@APP_OPTION
@click.pass_context
def set_(
    context: click.Context,
    *,
    name: str,
    rate: str,
    key: str | None,
    for_seconds: float | None,
    reason: str,
    by: str | None,
    workers: tuple[str, ...],
    force: bool,
    app_name: str | None,
) -> None:
    """Sets the RATE of a limit, such as 100/m, 10/60s:5 or unlimited; of places their number.

    0 stops the limit until `resume` or another rate. A rate for a key comes before that of its
    limit.
    """
    with failures_told():
        changed = manager_of(context, app_name).adjust_rate(
            name,
            rate,
            list(workers) or None,
            key=key,
            for_seconds=for_seconds,
            reason=reason,
            by=by,
            force=force,
        )
    tell([changed])


@click.command(
    cls=ExampleCommand,
    short_help="End the rate that was set for a limit.",
    epilog=examples("limits unset charge -A shop"),
)
@NAME_ARGUMENT
@KEY_OPTION
@REASON_OPTION
@BY_OPTION
@FORCE_OPTION
@APP_OPTION
@click.pass_context
def unset(
    context: click.Context,
    *,
    name: str,
    key: str | None,
    reason: str,
    by: str | None,
    force: bool,
    app_name: str | None,
) -> None:
    """Ends the rate that was set for a limit: what the code says counts again."""
    with failures_told():
        changed = manager_of(context, app_name).unset_rate(
            name, key=key, reason=reason, by=by, force=force
        )
    tell([changed])


@click.command(
    cls=ExampleCommand,
    short_help="Lower every rate by a factor.",
    epilog=examples("limits reduce -A shop", "limits reduce 0.3 -A shop --for 10m"),
)
@click.argument("factor", type=click.FloatRange(0, 1, min_open=True), default=0.5)
@FOR_OPTION
@click.option("--reason", default="high load", show_default=True, help="Why; kept with it.")
@BY_OPTION
@APP_OPTION
@click.pass_context
def reduce(
    context: click.Context,
    *,
    factor: float,
    for_seconds: float | None,
    reason: str,
    by: str | None,
    app_name: str | None,
) -> None:
    """Sets every rate to its default times FACTOR (0.5 unless said); never to 0.

    Twice the same changes nothing more. `restore` goes back to the defaults.
    """
    with failures_told():
        changed = manager_of(context, app_name).reduce_for_high_load(
            factor, for_seconds=for_seconds, reason=reason, by=by
        )
    tell(changed)


@click.command(
    cls=ExampleCommand,
    short_help="Set every rate back to its default.",
    epilog=examples("limits restore -A shop --yes"),
)
@click.option("--reason", default="back to the defaults", show_default=True, help="Why.")
@BY_OPTION
@YES_OPTION
@APP_OPTION
@click.pass_context
def restore(
    context: click.Context, *, reason: str, by: str | None, yes: bool, app_name: str | None
) -> None:
    """Sets every rate back to its default; pauses, switches and keys' own rates stay."""
    manager = manager_of(context, app_name)
    confirmed("Set all rates back to their defaults?", yes=yes)
    with failures_told():
        changed = manager.restore_defaults(reason=reason, by=by)
    tell(changed)


@click.command(
    "import",
    cls=ExampleCommand,
    short_help="Set what `export` printed.",
    epilog=examples("limits import rates.json -A shop"),
)
@click.argument("file", type=click.File("rb", lazy=True))
@YES_OPTION
@APP_OPTION
@click.pass_context
def import_(context: click.Context, *, file: IO[bytes], yes: bool, app_name: str | None) -> None:
    """Sets what `export` printed, beside what is set already; FILE may be - for stdin."""
    if file.name == "-" and not yes:
        raise click.UsageError("expected --yes where FILE is -: nobody can answer there")
    text = file.read(MAX_IMPORT_BYTES)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"expected JSON as `limits export` prints it: {error}") from error
    manager = manager_of(context, app_name)
    confirmed("Set all that the file says?", yes=yes)
    with failures_told():
        count = manager.import_(data)
    click.echo(f"{count} set")


COMMANDS = (set_, unset, reduce, restore, import_)
