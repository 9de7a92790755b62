"""All checks of a deployment, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import (
    bursts,
    embedded_server,
    eviction,
    gates,
    persistence,
    prefetching,
    redis_answers,
    releases,
    time_outs,
)
from .facts import Facts
from .finding import Finding

__all__ = ["CHECKS", "findings"]

CHECKS: dict[str, Callable[[Facts], Iterator[Finding]]] = {
    one.NAME: one.check
    for one in (
        redis_answers,
        persistence,
        eviction,
        embedded_server,
        time_outs,
        prefetching,
        bursts,
        gates,
        releases,
    )
}


def findings(facts: Facts) -> Iterator[tuple[str, Finding]]:
    """What each check found, with the check's name."""
    for name, check in CHECKS.items():
        for finding in check(facts):
            yield name, finding
