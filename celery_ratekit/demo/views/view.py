"""What a run tells whoever shows it."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, TypeVar

from ..figures import Figures
from ..progress import Progress

__all__ = ["View"]

V = TypeVar("V", bound="View")


class View(Protocol):
    """Shows a run while it is entered, and its figures afterwards."""

    def say(self, text: str) -> None:
        """Called when something else begins, such as the start of the workers."""

    def show(self, progress: Progress) -> None:
        """Called some ten times a second while tasks start, and when the last has."""

    def report(self, figures: Figures) -> None:
        """Called after the view was left, when everything is stopped."""

    def __enter__(self: V) -> V: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
