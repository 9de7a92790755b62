"""The commands of our program: all that there are, and whether a line is one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import click

from celery_ratekit.cli import main

__all__ = ["all_commands", "parse"]

PROGRAM = "celery-ratekit"


def all_commands(group: click.Group = main, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Each command that does something, by the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from all_commands(command, words)
        else:
            yield words, command


def parse(line: str) -> str:
    """Reads a line as the program would, without doing anything; the words that call its command.

    Raises click's UsageError where the program would. What a shell does with ``>`` is left out.
    """
    words = shlex.split(line.partition(" > ")[0])
    assert words.pop(0) == PROGRAM, line
    command: click.Command = main
    parent: click.Context | None = None
    called: list[str] = []
    while True:
        parent = command.make_context(called[-1] if called else PROGRAM, words, parent=parent)
        if not isinstance(command, click.Group):
            return " ".join(called)
        name, found, words = command.resolve_command(parent, [*_kept_back(parent), *parent.args])
        assert found is not None
        command = found
        called.append(str(name))


def _kept_back(context: Any) -> list[str]:
    """The name of the command, which click keeps apart; renamed in click 8.2."""
    kept: list[str] = getattr(context, "_protected_args", None) or []
    return kept
