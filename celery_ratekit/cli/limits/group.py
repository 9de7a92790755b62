"""The commands about limits, put together."""

from __future__ import annotations

import click

from ..examples import ExampleGroup, examples
from . import changing, looking, switching

__all__ = ["limits"]


@click.group(
    cls=ExampleGroup,
    short_help="Look at limits, change and pause them.",
    epilog=examples(
        "limits list -A shop",
        'limits set charge 20/m -A shop --reason "the provider asked for it"',
        "limits pause charge -A shop --for 10m",
    ),
)
def limits() -> None:
    """Looks at limits and changes them for all workers, while they run.

    What is set stands in Redis; workers follow within two seconds, and those that start later do
    too. NAME is the name of a limit, or of a task, of which its primary limit is meant.

    Exit codes: 0: done; 1: it could not be done; 2: the command was wrong, such as an unknown name.
    """


for _module in (looking, changing, switching):
    for _command in _module.COMMANDS:
        limits.add_command(_command)
