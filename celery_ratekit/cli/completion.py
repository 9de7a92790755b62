"""``celery-ratekit completion``: the script that lets a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .examples import ExampleCommand, examples

__all__ = ["completion"]

SHELLS = ("bash", "zsh", "fish")

PROGRAMS = ("celery-ratekit", "celery-throttle")
"""Its names, of which the first is meant where it is a part of another program."""


@click.command(
    cls=ExampleCommand,
    short_help="Print the completion script of a shell.",
    epilog=examples("completion bash > ~/.local/share/bash-completion/completions/celery-ratekit"),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, *, shell: str) -> None:
    """Prints a script that completes commands and options of this program in a SHELL.

    bash and zsh: put it into a file that the shell loads, or evaluate it at the shell's start.
    fish: ~/.config/fish/completions/celery-ratekit.fish.
    """
    from .group import main  # noqa: PLC0415 - it knows this module

    kind = get_completion_class(shell)
    assert kind is not None  # Choice lets only these pass.
    called = context.find_root().info_name
    program = called if called in PROGRAMS else PROGRAMS[0]
    # What click looks for to see that a shell asks.
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    click.echo(kind(main, {}, program, variable).source())
