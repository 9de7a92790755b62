"""Whether live workers declare different rates for one limit."""

from __future__ import annotations

from collections.abc import Iterator

from .facts import Facts
from .finding import Finding, ok, warning

__all__ = ["NAME", "check"]

NAME = "releases"


def check(facts: Facts) -> Iterator[Finding]:
    """What workers declare, where that differs."""
    for name, rates in sorted(facts.disagreements.items()):
        yield warning(
            f"live workers declare {', '.join(rates)} for {name!r:.80}: the lowest counts",
            "restart the workers of the older release, or set a rate with "
            "`celery-ratekit limits set`",
        )
    if not facts.disagreements:
        yield ok("all workers declare the same rates")
