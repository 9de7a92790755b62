"""Which limits hold for which task.

Its class, a decorator of its function, the settings and the header of a message say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from celery import Task

from ..errors import BadOptionError, did_you_mean
from ..limits import Limit
from ..patterns import matches
from ..queues.places import QUEUE_HEADER
from ..rules import MAX_NAME_LENGTH, SHADOW, Rule
from ..settings import PREFIX, Settings
from .call import Call
from .call_limits import NO_LIMITS, CallLimits, Source, put_together
from .function_limits import FunctionLimit, function_limits_of

__all__ = ["LIMITS_HEADER", "CallLimits", "LimitBook", "Plan"]

LIMITS_HEADER = "ratekit_limits"
"""The header of a message with the names of the limits that its caller chose, a list."""

MAX_CHOSEN = 16  # Headers come from strangers, and each limit takes time in Redis.

CLASS_LABEL = "the task's own class"


class LimitBook:
    """The limits of an app's tasks.

    A worker looks up every task, limited or not, so what can be worked out without a call is worked
    out once per task:

        plan = book.plan(task)
        if plan.is_limited or header is not None:
            limits = plan.limits(Call(...), header)

    It may be shared by threads. ``queue_limit`` gives the limit of the throttled queue that a
    message's header names.
    """

    def __init__(
        self, settings: Settings, queue_limit: Callable[[object], Limit] | None = None
    ) -> None:
        self._settings = settings
        self._queue_limit = queue_limit
        self._plans: dict[str, Plan] = {}

    def plan(self, task: Task) -> Plan:
        """What limits the calls of ``task``; made when its name is first asked for."""
        plan = self._plans.get(task.name)
        if plan is None:
            plan = Plan(task, self._settings, self._queue_limit)
            plan = self._plans.setdefault(task.name, plan)
        return plan

    def declared(self, app: Any) -> list[Limit]:
        """The limits that an app's tasks, rules and settings declare, each once."""
        tasks = [task for _, task in sorted(app.tasks.items())]
        of_tasks = [limit for task in tasks for limit in self.plan(task).declared()]
        return list(dict.fromkeys([*of_tasks, *self._settings.named_limits.values()]))

    def check(self, tasks: Iterable[Task]) -> list[str]:
        """Warnings about the settings, for a worker that knows these tasks.

        A pattern that matches none of them is only warned about, since another worker may have
        some. Raises BadOptionError where rules clash with each other or with a task's own limits.
        """
        if self._settings.enabled is False:
            return []
        known = list(tasks)
        for task in known:
            self.plan(task).check()
        return list(_unmatched(self._settings, [str(task.name) for task in known]))


class Plan:
    """What limits the calls of one task, as far as it can be told without a call."""

    def __init__(
        self,
        task: Task,
        settings: Settings,
        queue_limit: Callable[[object], Limit] | None = None,
    ) -> None:
        name: str = task.name
        self._queue_limit = queue_limit
        self._task = task
        self._name = name
        self._all_shadow = settings.mode == SHADOW
        self._choice: Mapping[str, Limit] = settings.named_limits
        self._of_function = function_limits_of(task)
        self._fixed = [
            *(self._source_of(rule) for rule in settings.task_rules if rule.matches(name)),
            *(self._source_of_function(one) for one in self._of_function if one.gate_limits),
        ]
        self._has_own = _has_own_limits(task)
        self._is_constant = not self._has_own and not any(
            source.depends_on_call for source in self._fixed
        )
        self._is_only_own = self._has_own and not self._fixed and _resolves_as_declared(task)
        self._last: tuple[list[Limit], CallLimits] = ([], CallLimits())
        #: Whether the settings say that no call of the task is limited, whatever its message says.
        self.is_switched_off = not settings.is_enabled(name)
        #: Whether class, rules or function limit the task. A message may choose limits as well.
        self.is_limited = not self.is_switched_off and bool(self._has_own or self._fixed)

    def limits(self, call: Call, header: object = None, queue: object = None) -> CallLimits:
        """The limits of one call; ``header`` is what its message has under LIMITS_HEADER.

        ``queue`` is what it has under QUEUE_HEADER, for those who let it wait for that one.

        Raises QueueNotFound where there is no such queue, BadOptionError where limits clash, or the
        header does not hold names of limits from the settings; beyond that what the functions for
        keys and costs raise.
        """
        if self.is_switched_off:
            return NO_LIMITS
        if header is None and queue is None:
            if self._is_constant:
                return self._constant
            if self._is_only_own:
                return self._own_limits(call)
        return put_together(self._name, list(self._sources(call, header, queue)))

    def declared(self) -> list[Limit]:
        """The limits of the task, named, as far as they are known without a call."""
        if self.is_switched_off:
            return []
        own = self._named(self._task.declared_limits()) if self._has_own else []
        fixed = [limit for source in self._fixed for limit in source.limits]
        of_function = [limit for one in self._of_function for limit in one.declared_limits]
        return list(dict.fromkeys([*own, *fixed, *of_function]))

    def check(self) -> None:
        """Raises BadOptionError where rules clash with each other or with the declared limits."""
        if self.is_limited:
            own = [self._own(self._task.declared_limits())] if self._has_own else []
            put_together(self._name, [*own, *self._fixed])

    def _own_limits(self, call: Call) -> CallLimits:
        """The limits of a class whose limits for this call are most often those of the last."""
        given = self._task.rate_limits(call)
        last, limits = self._last
        if given == last:  # Most often these are the very same objects.
            return limits
        own = self._own(self._task._resolve(given, call))  # They may be asked for only once.
        limits = put_together(self._name, [own])
        if not own.depends_on_call and not Source("", given).depends_on_call:
            self._last = given, limits
        return limits

    @cached_property
    def _constant(self) -> CallLimits:
        return put_together(self._name, self._fixed)

    def _sources(self, call: Call, header: object, queue: object) -> Iterator[Source]:
        if queue is not None and self._queue_limit is not None:
            limit = self._queue_limit(queue)
            yield Source(f"the header {QUEUE_HEADER}", [limit], self._all_shadow)
        if self._has_own:
            yield self._own(self._task.resolved_limits(call))
        for source in self._fixed:
            yield source.resolved(self._name, call) if source.depends_on_call else source
        if header is not None:
            chosen = [self._chosen(name) for name in _checked_names(header, self._name)]
            label = f"the header {LIMITS_HEADER}"
            yield Source(label, chosen, self._all_shadow).resolved(self._name, call)

    def _own(self, limits: Iterable[Limit]) -> Source:
        is_shadow = self._all_shadow or getattr(self._task, "mode", None) == SHADOW
        return Source(CLASS_LABEL, self._named(limits), is_shadow)

    def _source_of(self, rule: Rule) -> Source:
        label = f"the rule {rule.pattern!r:.60} of {PREFIX}rules"
        return Source(label, self._named(rule.limits), self._all_shadow or rule.mode == SHADOW)

    def _source_of_function(self, limit: FunctionLimit) -> Source:
        return Source(limit.label, self._named(limit.gate_limits), self._all_shadow)

    def _named(self, limits: Iterable[Limit]) -> list[Limit]:
        return [limit if limit.name else limit.with_name(self._name) for limit in limits]

    def _chosen(self, name: str) -> Limit:
        limit = self._choice.get(name)
        if limit is None:
            raise BadOptionError(
                f"expected names of limits from {PREFIX}limits in the header {LIMITS_HEADER} of a "
                f"call of {self._name!r}, got {name!r:.60}{did_you_mean(name, self._choice)}"
            )
        return limit


def _has_own_limits(task: Task) -> bool:
    """Whether the task's class brings limits; one that overrides a method may at any call."""
    # The task classes know this module.
    from .base import RateLimitedTask  # noqa: PLC0415

    if not isinstance(task, RateLimitedTask):
        return False
    cls = task.__class__
    return bool(
        task.limits
        or cls.rate_limits is not RateLimitedTask.rate_limits
        or cls.resolved_limits is not RateLimitedTask.resolved_limits
    )


def _resolves_as_declared(task: Task) -> bool:
    """Whether a call's limits are those of its class's `rate_limits`, each worked out."""
    from .base import RateLimitedTask  # noqa: PLC0415

    return task.__class__.resolved_limits is RateLimitedTask.resolved_limits


def _checked_names(header: object, task_name: str) -> list[str]:
    """The names in a header, each once."""
    # What came is not shown where it is no text: it may be of any size and depth.
    where = f"in the header {LIMITS_HEADER} of a call of {task_name!r}"
    if not isinstance(header, (list, tuple)):
        raise BadOptionError(
            f"expected a list of names {where}, got {type(header).__name__!r:.60}; "
            'send for example ["stripe"]'
        )
    if len(header) > MAX_CHOSEN:
        raise BadOptionError(f"expected at most {MAX_CHOSEN} names {where}, got {len(header)}")
    for name in header:
        if not isinstance(name, str):
            raise BadOptionError(f"expected texts {where}, got {type(name).__name__!r:.60}")
        if len(name) > MAX_NAME_LENGTH:
            raise BadOptionError(
                f"expected names of at most {MAX_NAME_LENGTH} characters {where}, got one of "
                f"{len(name)}: {name[:40]!r}..."
            )
    return list(dict.fromkeys(header))


def _unmatched(settings: Settings, names: list[str]) -> Iterator[str]:
    """A warning for each pattern that matches none of the names."""
    patterns = {f"{PREFIX}rules": [rule.pattern for rule in settings.task_rules]}
    if isinstance(settings.enabled, Mapping):
        patterns[f"{PREFIX}enabled"] = list(settings.enabled)
    for setting, given in patterns.items():
        for pattern in given:
            if not any(matches(pattern, name) for name in names):
                yield (
                    f"the pattern {pattern!r:.60} of {setting} matches no task of this worker"
                    f"{did_you_mean(pattern, names)}"
                )
