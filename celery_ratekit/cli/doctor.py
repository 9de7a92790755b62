"""``celery-ratekit doctor``: checks a deployment, and says what to change."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ..errors import RatekitError
from .apps import APP_OPTION, load, named_app
from .examples import ExampleCommand, examples
from .failing import only_told_once
from .output import JSON_OPTION, print_json
from .terminal import on_one_line

if TYPE_CHECKING:
    from .checks.finding import Finding

__all__ = ["doctor", "print_findings"]

Findings = list[tuple[str, "Finding"]]

LEVEL_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}

INDENT = " " * 9
SHORTEST_LINE = 30


@click.command(
    cls=ExampleCommand,
    short_help="Check a deployment and say what to change.",
    epilog=examples("doctor -A shop", "doctor -A shop --strict --json"),
)
@click.option("--strict", is_flag=True, help="Exit code 1 for warnings as well.")
@APP_OPTION
@JSON_OPTION
@click.pass_context
def doctor(context: click.Context, *, strict: bool, app_name: str | None, as_json: bool) -> None:
    """Looks at the settings, Redis, the broker and the live workers; changes nothing.

    Exit codes: 0: nothing is wrong; 1: an error was found (with --strict, or a warning); 2: the
    command was wrong.
    """
    only_told_once()
    found = list(_found(named_app(context, app_name)))
    if as_json:
        print_json([{"check": name, **dataclasses.asdict(one)} for name, one in found])
    else:
        print_findings(found)
    levels = {one.level for _, one in found}
    context.exit(1 if "error" in levels or (strict and "warning" in levels) else 0)


def _found(app: Any) -> Iterator[tuple[str, Finding]]:
    from .checks import setting_names  # noqa: PLC0415 - --help need not wait for it
    from .checks.all_checks import findings  # noqa: PLC0415
    from .checks.gathering import gather  # noqa: PLC0415

    problem, facts = "", None
    try:
        load(app)
        facts = gather(app)
    except RatekitError as error:
        problem = str(error)
    for finding in setting_names.check(list(app.conf), problem, app.namespace or "celery"):
        yield setting_names.NAME, finding
    if facts is not None:
        yield from findings(facts)


def print_findings(found: Iterable[tuple[str, Finding]]) -> None:
    """Prints what was found, on lines that a terminal does not break."""
    for name, one in found:
        level = click.style(f"{one.level:8}", fg=LEVEL_COLOURS[one.level])
        click.echo(f"{level} {_folded(f'{name}: {one.text}')}")
        if one.advice:
            click.echo(f"{INDENT}{_folded(f'-> {one.advice}')}")


def _folded(text: str) -> str:
    """Behind the indent, on as many lines as it takes in a terminal; in a pipe on one."""
    plain = on_one_line(text)
    if not sys.stdout.isatty():
        return plain
    columns = max(SHORTEST_LINE, shutil.get_terminal_size().columns - len(INDENT))
    return f"\n{INDENT}".join(textwrap.wrap(plain, columns, break_on_hyphens=False))
