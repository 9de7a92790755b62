"""The base of all limited tasks: collects the limits of a call and puts one question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NoReturn

from celery import Task

from ..errors import CostExceedsCapacityError
from ..install import install
from ..limits import Limit
from ..rules import ENFORCE
from ..settings import settings_of
from . import app_class, bodies, clashes, options, service_limits
from .admission import Admission
from .call import Call
from .chosen_limits import with_chosen_limits
from .run import Run, run_of
from .runtime import Runtime, runtime_of

__all__ = ["RateLimitedTask", "admission_of"]


class RateLimitedTask(Task):
    """A task whose starts obey limits, over all workers.

    ``limits`` are what every call is charged for, all of them or none. A limit without a name
    takes the task's; its key and cost may be functions of the call (see `Call`):

        @app.task(base=RateLimitedTask, limits=[
            TokenBucket("mail", "50/s", burst=100),
            SlidingWindow("mail per user", "10/m", key=lambda call: call.arguments["user_id"]),
        ])
        def send_mail(user_id, text): ...

    A task that must wait is held in its worker until its exact start, or sent again to it where no
    gate runs. Neither spends a retry; its id, chain, chord, headers and priority stay. Direct calls
    and eager mode are never limited.

    - ``mode``: ``"enforce"`` (default), or ``"shadow"``: the task's limits are asked and counted,
      but it runs whatever they say.
    - ``overflow``: where the task waits, as in the setting ``ratekit_overflow``, which is the
      default.
    - ``max_rate_limited``: how often in a row `rate_limited` may send a call again before it fails,
      default 20.

    Inside a body: `rate_limited`, `refund` and `settle`.

    Subclasses add limits by overriding `rate_limits`. Misspelt options raise BadOptionError when
    the task is defined.
    """

    abstract = True
    ratekit_options: ClassVar[tuple[str, ...]] = ("limits", "max_rate_limited", "mode", "overflow")

    limits: Iterable[Limit] = ()
    max_rate_limited: int = 20
    mode: str = ENFORCE
    overflow: str | None = None

    # Celery's own limit per worker never applies to these tasks, whatever the app's defaults say.
    rate_limit = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        app_class.keep(cls)
        super().__init_subclass__(**kwargs)
        options.refuse_rate_limit(cls)
        options.settle(cls)
        options.refuse_options_of_others(cls)

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Checks the options and settings; raises BadOptionError naming task and option."""
        super().on_bound(app)
        cls.rate_limit = None
        settings_of(app)
        options.settle(cls)  # Annotations may have put further options here.
        clashes.check_bases_agree(cls, app, options.known_options(cls))
        with options.named_after(cls):
            options.check_common(cls)
            options.check_limits_of_call(cls.name, cls.declared_limits())
        install(app)

    @classmethod
    def declared_limits(cls) -> list[Limit]:
        """The limits that the options declare, to be checked before any call.

        Subclasses with options of their own add theirs to what ``super()`` gives.
        """
        return list(cls.limits)

    def rate_limits(self, call: Call) -> list[Limit]:
        """The limits of one call; subclasses add theirs to what ``super()`` gives."""
        return list(self.limits)

    def resolved_limits(self, call: Call) -> list[Limit]:
        """The limits of one call with names, keys and costs worked out.

        Raises CostExceedsCapacityError naming the task where the call could never be granted, and
        BadKeyError where nobody can be counted under its key.
        """
        return self._resolve(self.rate_limits(call), call)

    def _resolve(self, limits: Iterable[Limit], call: Call) -> list[Limit]:
        try:
            return [limit.resolved(self.name, call) for limit in limits]
        except CostExceedsCapacityError as error:
            raise CostExceedsCapacityError(
                error.limit_name, error.cost, error.capacity, self.name
            ) from error

    @property
    def ratekit(self) -> Runtime:
        """The limiter and settings of the task's app."""
        return runtime_of(self.app)

    def apply_async(self, *args: Any, limits: Iterable[str] | None = None, **options: Any) -> Any:
        """Sends the task, as Celery's own method does.

        ``limits`` are names of limits from the setting ``ratekit_limits`` that this call has to
        obey too; also with ``task.s(...).set(limits=[...])``. Raises BadOptionError where they are
        no list of texts.
        """
        if limits is not None:
            options = with_chosen_limits(self.name, options, limits)
        return super().apply_async(*args, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request_stack.top
        if request is None or request.called_directly or admission_of(request) is not None:
            return super().__call__(*args, **kwargs)  # a plain function call, maybe inside a body
        admission = request.ratekit_admission = Admission(self, request)
        call = Call(self.name, self.run, args, kwargs, request.id)
        try:
            if not request.is_eager:
                admission.admit(call)
            request.ratekit_run = Run(self, call, admission, request.headers)
            return self._call_body(*args, **kwargs)
        finally:
            admission.finish()

    def _call_body(self, *args: Any, **kwargs: Any) -> Any:
        following = super().__call__
        if following.__func__ is Task.__call__:
            # Outside of a worker's command that one would hide the request from the body.
            return self.run(*args, **kwargs)
        return following(*args, **kwargs)

    # -- for bodies ---------------------------------------------------------------------------

    @property
    def is_limited_here(self) -> bool:
        """Whether the running call was let through by its limits, not run directly or eagerly."""
        run = run_of(self.request)
        return run is not None and run.is_limited

    def rate_limited(self, retry_after: Any = None, limit: str | Limit | None = None) -> NoReturn:
        """Does what is right after the called service answered "too many requests".

            raise self.rate_limited(response.headers.get("Retry-After"))

        Freezes a limit, so that no other call starts meanwhile, and sends the task again to when
        the freeze is over, without spending a retry. What the start was charged stays charged.

        ``retry_after``: seconds, as a number or a text, or a date in HTTP's form; at least 0.1 s
        and at most the setting ``ratekit_max_freeze``. None, and what cannot be read: 1 s, doubled
        each time in a row up to a minute.
        ``limit``: which limit to freeze, by its name or as it was written. Default: the one whose
        rate is learned (AdaptiveRateLimitTask); else the narrowest of those with a key, and only
        for that key; else the only one.

        Raises celery's Retry; where there is no broker (direct calls, eager mode) RateLimitedError;
        after ``max_rate_limited`` times in a row RateLimitedTooOftenError; where it is unclear
        which limit is meant, BadLimitError.
        """
        service_limits.rate_limited(self, retry_after, limit)

    def _limit_of_service(self, limits: Sequence[Limit]) -> Limit | None:
        """The limit that a refusal concerns if the body names none; None: the usual choice."""
        return None

    def _meet_refusal(self, run: Run, limit: Limit | None, freeze_seconds: float) -> None:
        """Called once the service has refused a call and its limit, if any, was frozen."""
        run.was_refused = True

    def refund(self) -> bool:
        """Gives back what the start of the running call was charged, for a call that took nothing.

        Once: a second time it does nothing. Places are kept while the body runs. Returns whether
        anything was given back: False in direct calls and eager mode, and where Redis is away.
        """
        return bodies.refund(self)

    def settle(self, actual_cost: float, limit: str | Limit | None = None) -> bool:
        """Corrects what the start was charged to what the running call really took.

        ``limit``, by its name or as it was written, may be left out where only one was charged.
        More than was charged leaves a debt of at most one capacity, which is paid before the next
        start. Of several settlements the last one counts.

        Returns whether it was done: False in direct calls and eager mode, for a limit that lets
        everything pass, and where Redis is away. Raises BadLimitError for what is no cost or where
        it is unclear which limit is meant.
        """
        return bodies.settle(self, actual_cost, limit)


def admission_of(request: Any) -> Admission | None:
    """The admission of a running call; what a message header of that name holds is none."""
    admission = request.get("ratekit_admission")
    return admission if isinstance(admission, Admission) else None
