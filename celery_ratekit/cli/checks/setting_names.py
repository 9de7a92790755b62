"""Settings that are unknown, misspelt or impossible."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator

from ...settings import PREFIX, Settings
from .finding import Finding, error, ok, warning

__all__ = ["NAME", "check"]

NAME = "settings"


def check(names: Iterable[str], problem: str = "", namespace: str = "celery") -> Iterator[Finding]:
    """``names``: all that the app is configured with; ``problem``: why it could not be used.

    ``namespace``: what stands before settings of the app, as in Django's.
    """
    names = [_plain(name, namespace) for name in names]
    known = [one.name for one in dataclasses.fields(Settings) if one.init]
    found = [*_unknown(names, known), *_nearly_ours(names, known)]
    yield from found
    if problem and not any(one.level == "error" for one in found):
        yield error(problem, "correct the setting; the settings page lists them all")
    elif not found:
        yield ok("no setting is unknown or impossible")


def _unknown(names: Iterable[str], known: list[str]) -> Iterator[Finding]:
    for name in names:
        ours = name.removeprefix(PREFIX)
        if ours != name and ours not in known:
            advice = _near(ours, known) or "see the settings page, or remove it"
            yield error(f"there is no setting {name!r:.80}", advice)


def _nearly_ours(names: Iterable[str], known: list[str]) -> Iterator[Finding]:
    """Names that look like ours to people, and to nobody else."""
    for name in names:
        squeezed = name.replace("_", "").replace("-", "")
        if squeezed.startswith("ratekit") and not name.startswith(PREFIX):
            advice = _near(squeezed.removeprefix("ratekit"), known)
            yield warning(
                f"the setting {name!r:.80} has no effect, since it does not begin with {PREFIX!r}",
                advice or f"begin it with {PREFIX!r}",
            )


def _near(name: str, known: list[str]) -> str:
    """Which setting may be meant; empty where none is near. Names are without the prefix here."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {PREFIX + near[0]!r}?" if near else ""


def _plain(name: str, namespace: str) -> str:
    """As the app reads it: Django's settings have its namespace in front, in capitals."""
    return name.lower().removeprefix(f"{namespace.lower()}_")
