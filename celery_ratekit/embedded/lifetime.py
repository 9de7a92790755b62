"""What every embedded server shares: it lives inside a ``with`` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

__all__ = ["Lifetime"]

S = TypeVar("S", bound="Lifetime")


class Lifetime(ABC):
    """Something that is started and stopped; ``with`` does both."""

    @abstractmethod
    def start(self: S) -> S:
        """Start, and give itself."""

    @abstractmethod
    def stop(self) -> None:
        """Stop, and leave nothing behind."""

    def __enter__(self: S) -> S:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
