"""Examples below the help of a command, one on each line."""

from __future__ import annotations

import click

__all__ = ["examples"]


class _WithExamples:
    """Writes the epilog as it stands: click would join its lines."""

    epilog: str | None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class ExampleCommand(_WithExamples, click.Command):
    """A command with examples."""


class ExampleGroup(_WithExamples, click.Group):
    """A group with examples; its commands have examples too."""

    command_class = ExampleCommand


def examples(*lines: str) -> str:
    """The epilog of an `ExampleCommand`: what can be typed behind the program's name."""
    return "\n".join(f"celery-ratekit {line}" for line in lines)
