"""The view for a terminal: a chart of the starts against the limit, and how far the run is."""

from __future__ import annotations

import time
from types import TracebackType

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ...cli.terminal import escaped
from ..figures import Figures
from ..plan import Plan
from ..progress import Progress
from ..report import rows, waiting_text
from .chart import bars, counts_over_time, full_scale, limit_line

__all__ = ["LiveView", "chart_lines"]

CHART_HEIGHT = 7
REFRESHES_PER_SECOND = 8  # of the spinner; the rest changes with each tick of the run
WIDEST = 110  # columns; wider pictures are harder to read, not easier

BAR_STYLE = "green"
LIMIT_STYLE = "yellow"
LABEL_STYLE = "dim"


class LiveView:
    """Draws in place; the last picture stays above the figures."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._progress = Progress(plan)
        self._shown_at = 0.0
        self._spinner = Spinner("dots")
        self._live = Live(console=console, refresh_per_second=REFRESHES_PER_SECOND)

    def say(self, text: str) -> None:
        self._spinner.update(text=Text(escaped(text), style=LABEL_STYLE))
        self._draw(self._spinner)

    def show(self, progress: Progress) -> None:
        self._progress = progress
        self._shown_at = time.time()
        self._draw(self._spinner)

    def report(self, figures: Figures) -> None:
        table = Table(box=None, show_header=False, padding=(0, 3, 0, 1), pad_edge=True)
        for style in ("bold", "cyan", LABEL_STYLE):
            table.add_column(style=style)
        for row in rows(figures, self._plan):
            table.add_row(*map(Text, row))
        self._console.print(table)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A picture without starts says nothing; then only the error is to be seen.
        self._live.transient = not self._progress.starts
        self._draw(Text())
        self._live.stop()

    def _draw(self, below: RenderableType) -> None:
        """Makes the whole picture here, since a thread of rich's puts it on the screen."""
        width = min(self._console.width, WIDEST)
        now = self._shown_at
        content = Group(*chart_lines(self._progress, width - 4, now), Text(), _bar(self._progress))
        plan, current = self._plan, self._progress.in_last_second(now)
        panel = Panel(
            content,
            box=box.ROUNDED,
            border_style=LABEL_STYLE,
            title=Text(f"started in the last second: {current}", style="not dim bold"),
            subtitle=Text(
                f"limited to {plan.limit_text}, on {plan.workers} workers of "
                f"{plan.concurrency} processes"
            ),
            width=width,
        )
        self._live.update(Group(panel, below))


def chart_lines(progress: Progress, width: int, now: float) -> list[Text]:
    """The chart with its labels, ``width`` columns wide; ``now`` is seconds since 1970."""
    limit = progress.plan.rate.per_second
    label = f"limit {progress.plan.rate_text} "
    columns = max(0, width - len(label))
    counts = counts_over_time(progress, columns, now)
    scale = full_scale(counts, limit, CHART_HEIGHT)
    limit_row, line = limit_line(limit, scale, CHART_HEIGHT)
    lines = []
    for number, row in enumerate(bars(counts, scale, CHART_HEIGHT)):
        is_limit = number == limit_row
        text = Text(label if is_limit else " " * len(label), style=LIMIT_STYLE)
        for char in row.ljust(columns):
            if char == " " and is_limit:
                text.append(line, style=LIMIT_STYLE)
            else:
                text.append(char, style=BAR_STYLE)
        lines.append(text)
    return lines


def _bar(progress: Progress) -> RenderableType:
    tasks = progress.plan.tasks
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right")
    grid.add_column(justify="right")
    figures = len(str(tasks))
    grid.add_row(
        ProgressBar(tasks, progress.done, complete_style=BAR_STYLE, finished_style=BAR_STYLE),
        Text(f"{progress.done:{figures}} of {tasks} done"),
        Text(waiting_text(progress, figures)),
    )
    return grid
