"""What a run of the demo is to do."""

from __future__ import annotations

from dataclasses import dataclass

from ..rates import Rate

__all__ = ["Plan"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many tasks, how fast, on how many workers of how many processes.

    ``arrivals`` is how fast the tasks are sent, ``rate`` and ``burst`` how fast they may start.
    With the ``gate`` those that must wait are held in the workers, else they are sent again.
    """

    rate: Rate
    burst: float
    arrivals: Rate
    tasks: int
    workers: int
    concurrency: int
    gate: bool

    @property
    def fastest_seconds(self) -> float:
        """From the first start to the last, where each comes when the limit first allows it."""
        return max(0.0, self.tasks - self.burst) / self.rate.per_second

    @property
    def most_per_second(self) -> float:
        """The most starts that the limit grants in any one second."""
        return self.burst + self.rate.per_second

    def sent_after(self, seconds: float) -> int:
        """How many tasks are to be sent within ``seconds``, the first at once."""
        if self.arrivals.is_unlimited:
            return self.tasks
        return min(self.tasks, 1 + int(seconds * self.arrivals.per_second))

    @property
    def limit_text(self) -> str:
        """The limit in words, such as "40/s, burst 1"."""
        return f"{self.rate_text}, burst {self.burst:g}"

    @property
    def rate_text(self) -> str:
        """The rate without its burst, such as "40/s"."""
        return _text(self.rate)

    @property
    def arrivals_text(self) -> str:
        """How the tasks are sent, in words."""
        return "all at once" if self.arrivals.is_unlimited else f"at {_text(self.arrivals)}"

    @property
    def wait_text(self) -> str:
        """What becomes of tasks that must wait, in words."""
        return "held by the gate" if self.gate else "sent again"


def _text(rate: Rate) -> str:
    text = str(rate).partition(":")[0].strip()
    return text if "/" in text else f"{text}/s"
