"""Rules: limits for tasks by their names, as settings say them in plain data or in limits.

>>> (rule,) = rules_from({"reports.*": {"limits": "100/m", "mode": "shadow"}}, "ratekit_rules")
>>> rule.matches("reports.daily"), rule.limits, rule.mode
(True, (TokenBucket(rate='100/m'),), 'shadow')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .errors import BadOptionError, RatekitError, did_you_mean
from .limits import Limit, RateSource, TokenBucket
from .patterns import by_pattern, matches
from .rates import Rate

__all__ = [
    "AUTO",
    "BACKLOG",
    "DEGRADED",
    "ENFORCE",
    "HOLD",
    "MAX_NAME_LENGTH",
    "MODES",
    "OVERFLOWS",
    "SHADOW",
    "Rule",
    "check_choice",
    "named_limits_from",
    "rules_from",
]

ENFORCE, SHADOW = "enforce", "shadow"
DEGRADED = "degraded"
"""What is told of a start that no limit has decided, because Redis was away: no mode to choose."""

MODES = (ENFORCE, SHADOW)

AUTO, BACKLOG, HOLD = "auto", "backlog", "hold"
OVERFLOWS = (AUTO, BACKLOG, HOLD)

MAX_NAME_LENGTH = 200
"""The most characters of a name that a message may choose a limit by."""

CELERYS_OWN = "celery."

RULE_FIELDS = ("limits", "mode")

FORMS = 'a rate such as "100/m" or a limit such as TokenBucket("stripe", "25/s")'


@dataclass(frozen=True, slots=True)
class Rule:
    """Limits for every task whose name matches ``pattern``.

    A limit without a name takes the task's, so that each task has its own; a named one is shared.
    ``mode`` is ``"enforce"``, or ``"shadow"``: decided and counted, but the task runs.
    """

    pattern: str
    limits: tuple[Limit, ...]
    mode: str = ENFORCE

    def matches(self, task_name: str) -> bool:
        """Whether the rule holds for the task of this name.

        Celery's own tasks, such as ``celery.chord_unlock``, are meant only where it says so.
        """
        if task_name.startswith(CELERYS_OWN) and not self.pattern.startswith(CELERYS_OWN):
            return False
        return matches(self.pattern, task_name)


def rules_from(given: object, where: str) -> tuple[Rule, ...]:
    """The rules of a mapping from patterns, in its order.

    Each value is a rate in any form, a limit, a list of those, or a dictionary with such
    ``limits`` and a ``mode``. Raises BadOptionError naming ``where``, the setting, and the pattern.
    """
    patterns = by_pattern(given, where, '{"reports.*": "100/m"}')
    return tuple(
        _rule(pattern, source, f"{where}[{pattern!r:.60}]") for pattern, source in patterns.items()
    )


def named_limits_from(given: object, where: str) -> dict[str, Limit]:
    """The limits of a mapping from names to rates or limits, each with that name.

    Raises BadOptionError naming ``where``, the setting, and the limit.
    """
    if not isinstance(given, Mapping):
        raise BadOptionError(
            f"expected a dictionary from names to rates or limits for {where}, got {given!r:.60}; "
            'write for example {"stripe": "25/s"}'
        )
    return {_checked_name(name, where): _named(name, given[name], where) for name in given}


def check_choice(value: object, choices: tuple[str, ...], where: str) -> None:
    """Raises BadOptionError where ``value`` is none of the choices."""
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise BadOptionError(
            f"expected one of {known} for {where}, got {value!r:.40}"
            f"{did_you_mean(str(value)[:40], choices)}"
        )


def _rule(pattern: str, source: object, where: str) -> Rule:
    if not isinstance(source, Mapping):
        return Rule(pattern, _limits(source, where))
    for field in source:
        if field not in RULE_FIELDS:
            raise BadOptionError(
                f'expected "limits" and "mode" in {where}, got {field!r:.40}'
                f"{did_you_mean(str(field)[:40], RULE_FIELDS)}"
            )
    if "limits" not in source:
        raise BadOptionError(
            f'expected "limits" in {where}, got none; write for example '
            '{"limits": "100/m", "mode": "shadow"}'
        )
    mode = source.get("mode", ENFORCE)
    check_choice(mode, MODES, f"the mode of {where}")
    return Rule(pattern, _limits(source["limits"], where), mode)


def _limits(source: object, where: str) -> tuple[Limit, ...]:
    if not isinstance(source, (list, tuple)):
        return (_limit(source, where),)
    if not source:
        raise BadOptionError(
            f"expected {FORMS} for {where}, got an empty list; leave the rule out for no limit"
        )
    limits = tuple(_limit(one, where) for one in source)
    _check_counted_apart(limits, where)
    return limits


def _limit(source: Any, where: str) -> Limit:
    if isinstance(source, Limit):
        return source
    if isinstance(source, bool) or not isinstance(source, (Rate, str, int, float)):
        raise BadOptionError(f"expected {FORMS} for {where}, got {source!r:.60}")
    try:
        return _bucket(source)
    except RatekitError as error:
        raise BadOptionError(f"{where} cannot work: {error}") from error


@lru_cache(1_024, typed=True)
def _bucket(rate: RateSource) -> TokenBucket:
    return TokenBucket(rate=rate)


def _check_counted_apart(limits: tuple[Limit, ...], where: str) -> None:
    """Raises BadOptionError for limits that would be counted in one place."""
    seen = set()
    for limit in limits:
        place = (type(limit), limit.name, limit.key, limit.tag)
        if place in seen:
            kind = type(limit).__name__
            whose = f"the name {limit.name!r}" if limit.name else "the task's name"
            raise BadOptionError(
                f"expected limits that are counted apart in {where}, got two of the kind {kind} "
                f"under {whose}; give each a name of its own, for example "
                f"{limit.with_name('another name')!r}"
            )
        seen.add(place)


def _checked_name(name: object, where: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_LENGTH:
        raise BadOptionError(
            f"expected names of 1 to {MAX_NAME_LENGTH} characters as keys of {where}, got "
            f"{name!r:.60}; write for example "
            '{"stripe": "25/s"}'
        )
    return name


def _named(name: str, source: object, where: str) -> Limit:
    where = f"{where}[{name!r:.60}]"
    if isinstance(source, Limit) and source.name not in ("", name):
        raise BadOptionError(
            f"expected a limit named {name!r:.60} or without a name for {where}, got "
            f"{source!r:.80}; leave its name out"
        )
    return _limit(source, where).with_name(name)
