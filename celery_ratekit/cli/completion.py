"""``celery-ratekit completion``: the script that lets a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .examples import ExampleCommand, examples

__all__ = ["completion"]

SHELLS = ("bash", "zsh", "fish")

PROGRAM = "celery-ratekit"

VARIABLE = "_CELERY_RATEKIT_COMPLETE"
"""What click looks for to see that a shell asks; it follows from the program's name."""


@click.command(
    cls=ExampleCommand,
    short_help="Print the completion script of a shell.",
    epilog=examples("completion bash > ~/.local/share/bash-completion/completions/celery-ratekit"),
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(*, shell: str) -> None:
    """Prints a script that completes commands and options of celery-ratekit in a SHELL.

    bash and zsh: put it into a file that the shell loads, or evaluate it at the shell's start.
    fish: ~/.config/fish/completions/celery-ratekit.fish.
    """
    from .group import main  # noqa: PLC0415 - it knows this module

    kind = get_completion_class(shell)
    assert kind is not None  # Choice lets only these pass.
    click.echo(kind(main, {}, PROGRAM, VARIABLE).source())
