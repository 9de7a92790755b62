"""Patterns of task names: shell-style, as settings use them to say which tasks they mean.

>>> matches("reports.*", "reports.daily"), matches("reports.*", "Reports.daily")
(True, False)
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from .errors import BadOptionError

__all__ = ["by_pattern", "matches"]


def matches(pattern: str, task_name: str) -> bool:
    """Whether the whole name fits: ``*`` any characters, ``?`` one, ``[abc]`` one of these."""
    return fnmatchcase(task_name, pattern)


def by_pattern(given: object, where: str, example: str) -> Mapping[str, Any]:
    """``given`` if it is a mapping from patterns; raises BadOptionError naming ``where``."""
    if not isinstance(given, Mapping):
        raise BadOptionError(
            f"expected a dictionary from task name patterns for {where}, got {given!r:.60}; "
            f"write for example {example}"
        )
    for pattern in given:
        if not isinstance(pattern, str) or not pattern:
            raise BadOptionError(
                f"expected task name patterns as keys of {where}, got {pattern!r:.60}; "
                f"write for example {example}"
            )
    return given
