"""The command that holds all others and loads only the one that is called."""

from __future__ import annotations

import importlib

import click

from celery_ratekit import __version__

__all__ = ["main"]

COMMANDS = ("demo", "exporter")
"""Each has a module of its own beside this one, with a function of the same name."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".{cmd_name}", __package__)
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="celery-ratekit")
def main() -> None:
    """Rate limits that Celery users can trust: global, exact, free for tasks without one."""
