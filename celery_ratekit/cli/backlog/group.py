"""The commands about the backlog, put together."""

from __future__ import annotations

import click

from ..examples import ExampleGroup, examples
from . import emptying, looking

__all__ = ["backlog"]


@click.group(
    cls=ExampleGroup,
    short_help="Look at what waits in the backlog, remove or release it.",
    epilog=examples(
        "backlog list -A shop",
        "backlog peek celery -A shop --arguments",
        "backlog release -A shop",
    ),
)
def backlog() -> None:
    """Looks at tasks that wait in Redis for their limits, and takes them out of there.

    Exit codes: 0: done; 1: it could not be done; 2: the command was wrong.
    """


for _module in (looking, emptying):
    for _command in _module.COMMANDS:
        backlog.add_command(_command)
