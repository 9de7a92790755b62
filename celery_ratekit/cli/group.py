"""The command that holds all others and loads only the one that is called."""

from __future__ import annotations

import importlib

import click

from celery_ratekit import __version__

from .apps import APP_BEFORE_OPTION
from .examples import ExampleGroup, examples
from .throttle_options import throttle_options

__all__ = ["main"]

COMMANDS = (
    "backlog",
    "completion",
    "dedicated-worker",
    "demo",
    "dispatcher",
    "doctor",
    "explain",
    "exporter",
    "limits",
    "monitor",
    "queue",
    "redis",
    "worker",
    "worker-status",
)
"""Each has a module of its own beside this one, with a function of the same name, where both have
an underscore for a hyphen."""


class LazyGroup(ExampleGroup):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f".{name}", __package__)
        command = getattr(module, name)
        assert isinstance(command, click.Command)
        return command


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "monitor -A shop",
        "doctor -A shop",
        "limits set charge 20/m -A shop",
        'queue create "10/1m"',
    ),
)
@click.version_option(__version__, prog_name="celery-ratekit")
@APP_BEFORE_OPTION
@throttle_options
def main() -> None:
    """Rate limits that Celery users can trust: global, exact, free for tasks without one."""
