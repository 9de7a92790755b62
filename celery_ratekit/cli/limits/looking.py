"""What limits are now: for people, and for programs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from ..apps import APP_OPTION
from ..examples import ExampleCommand, examples
from ..failing import failures_told
from ..output import JSON_OPTION, print_json, print_table
from ..terminal import escaped, on_one_line
from .options import NAME_ARGUMENT, manager_of

if TYPE_CHECKING:
    from ...manager import CurrentRate
    from ...manager.explaining import LimitExplanation

__all__ = ["COMMANDS"]

HEADINGS = ("LIMIT", "KIND", "RATE", "IN CODE", "REMARKS")


@click.command(
    "list",
    cls=ExampleCommand,
    short_help="List every limit with its rate of now.",
    epilog=examples("limits list -A shop", "limits list --json"),
)
@APP_OPTION
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, *, app_name: str | None, as_json: bool) -> None:
    """Lists every limit of the app and of live workers, with its rate of now."""
    with failures_told():
        rates = manager_of(context, app_name).current_rates()
    if as_json:
        print_json([_plain(rate) for rate in rates.values()])
        return
    print_table(
        HEADINGS,
        [
            (
                shown,
                one.kind,
                _with_unit(one, one.rate),
                "" if one.declared == one.rate else _with_unit(one, one.declared),
                "; ".join(_remarks(one)),
            )
            for shown, one in rates.items()
        ],
        empty="no task, rule or setting declares a limit",
    )


@click.command(
    cls=ExampleCommand,
    short_help="Show all that is true of a limit.",
    epilog=examples("limits show charge -A shop"),
)
@NAME_ARGUMENT
@APP_OPTION
@JSON_OPTION
@click.pass_context
def show(context: click.Context, *, name: str, app_name: str | None, as_json: bool) -> None:
    """Shows all that is true of a limit, or of the limits of a task."""
    with failures_told():
        found = manager_of(context, app_name).explain_limits(name)
    if as_json:
        print_json(explained(found))
    else:
        click.echo(explained_text(found))


@click.command(
    cls=ExampleCommand,
    short_help="Print all that is set, for `import`.",
    epilog=examples("limits export -A shop > rates.json"),
)
@APP_OPTION
@click.pass_context
def export(context: click.Context, *, app_name: str | None) -> None:
    """Prints all rates, pauses and switches that are set, as JSON for `import`."""
    with failures_told():
        data = manager_of(context, app_name).export()
    click.echo(json.dumps(data, indent=2))


def explained_text(found: LimitExplanation) -> str:
    """The explanation of limits for people: no name or reason in it can add a line."""
    rates = [
        dataclasses.replace(
            rate,
            name=on_one_line(rate.name),
            overrides=tuple(
                dataclasses.replace(one, by=on_one_line(one.by), reason=on_one_line(one.reason))
                for one in rate.overrides
            ),
        )
        for rate in found.rates
    ]
    states = [
        dataclasses.replace(one, limit=one.limit.with_name(on_one_line(one.limit.name)))
        for one in found.states
    ]
    return escaped(str(dataclasses.replace(found, rates=tuple(rates), states=tuple(states))))


def explained(found: LimitExplanation) -> dict[str, Any]:
    """The explanation of limits as plain data."""
    return {
        "what": found.what,
        "rates": [_plain(rate) for rate in found.rates],
        "states": [
            {
                "name": state.limit.name,
                "kind": type(state.limit).__name__,
                "available": state.available,
                "capacity": state.capacity,
                "wait_seconds": state.wait_seconds,
                "frozen_seconds": state.frozen_seconds,
                "reason": state.reason,
            }
            for state in found.states
        ],
        "waiting": found.waiting,
    }


def _plain(rate: CurrentRate) -> dict[str, Any]:
    said = dataclasses.asdict(rate)
    said["overrides"] = [_plain_override(one) for one in said["overrides"]]
    return said


def _plain_override(said: dict[str, Any]) -> dict[str, Any]:
    times = {name: said[name] and said[name].isoformat() for name in ("at", "until")}
    return {**said, **times}


def _with_unit(rate: CurrentRate, text: str) -> str:
    return f"{text} places" if rate.kind == "Concurrency" and text.isdecimal() else text


def _remarks(rate: CurrentRate) -> list[str]:
    """What stands beside a rate: what was set, by whom and why; keys with rates of their own."""
    remarks = [str(one) for one in rate.overrides]
    if rate.keys:
        keys = len(rate.keys)
        remarks.append(f"{keys} key{'s' * (keys > 1)} with another rate")
    if rate.disagreement:
        remarks.append(f"live workers declare {', '.join(rate.disagreement)}")
    if rate.kind == "celery":
        remarks.append("Celery's own limit, per worker")
    return remarks


COMMANDS = (list_, show, export)
