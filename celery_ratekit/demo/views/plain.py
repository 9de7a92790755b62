"""The view for logs: a line per second, without control codes."""

from __future__ import annotations

import time
from types import TracebackType

import click

from ...cli.terminal import escaped
from ..figures import Figures
from ..plan import Plan
from ..progress import Progress
from ..report import rows, waiting_text

__all__ = ["PlainView", "table"]

LINE_SECONDS = 1.0


class PlainView:
    """Prints a line for what begins and one for each second; each is flushed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lines = 0

    def say(self, text: str) -> None:
        click.echo(escaped(text))

    def show(self, progress: Progress) -> None:
        now = time.time()
        if progress.first_at is None:
            return
        seconds = now - progress.first_at
        if seconds >= (self._lines + 1) * LINE_SECONDS or progress.is_complete:
            self._lines = int(seconds / LINE_SECONDS)
            click.echo(
                f"after {seconds:.1f} s: {progress.in_last_second(now)} in the last second, "
                f"{progress.done} done, {waiting_text(progress)}"
            )

    def report(self, figures: Figures) -> None:
        click.echo()
        click.echo(table(rows(figures, self._plan)))

    def __enter__(self) -> PlainView:
        plan = self._plan
        self.say(
            f"{plan.tasks} tasks, limited to {plan.limit_text}, on {plan.workers} workers of "
            f"{plan.concurrency} processes"
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


def table(lines: list[tuple[str, str, str]]) -> str:
    """The lines in columns, without trailing spaces.

    >>> print(table([("a", "12", "of 12"), ("long", "3", "")]))
    a     12  of 12
    long  3
    """
    first, second = (max(len(line[column]) for line in lines) for column in (0, 1))
    return "\n".join(
        f"{name:{first}}  {value:{second}}  {remark}".rstrip() for name, value, remark in lines
    )
