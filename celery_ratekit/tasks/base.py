"""The base of all limited tasks: collects the limits of a call and puts one question."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from celery import Task

from ..install import install
from ..limits import Limit
from ..settings import settings_of
from . import app_class, options
from .admission import Admission
from .call import Call
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

    A task that must wait is sent again to its exact start, without spending a retry; its id, chain,
    chord, headers and priority stay. Direct calls and eager mode are never limited.

    Subclasses add limits by overriding `rate_limits`. Misspelt options raise BadOptionError when
    the task is defined.
    """

    abstract = True
    ratekit_options: ClassVar[tuple[str, ...]] = ("limits",)

    limits: Iterable[Limit] = ()

    # Celery's own limit per worker never applies to these tasks, whatever the app's defaults say.
    rate_limit = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        app_class.keep(cls)
        super().__init_subclass__(**kwargs)
        options.refuse_rate_limit(cls)
        options.settle(cls)

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Checks the options and settings; raises BadOptionError naming task and option."""
        super().on_bound(app)
        cls.rate_limit = None
        settings_of(app)
        options.settle(cls)  # Annotations may have put further options here.
        with options.named_after(cls):
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
        """The limits of one call with names, keys and costs worked out."""
        return [limit.resolved(self.name, call) for limit in self.rate_limits(call)]

    @property
    def ratekit(self) -> Runtime:
        """The limiter and settings of the task's app."""
        return runtime_of(self.app)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request_stack.top
        if request is None or request.called_directly or admission_of(request) is not None:
            return super().__call__(*args, **kwargs)  # a plain function call, maybe inside a body
        admission = request.ratekit_admission = Admission(self, request)
        try:
            if not request.is_eager:
                admission.admit(Call(self.name, self.run, args, kwargs, request.id))
            return self._call_body(*args, **kwargs)
        finally:
            admission.finish()

    def _call_body(self, *args: Any, **kwargs: Any) -> Any:
        following = super().__call__
        if following.__func__ is Task.__call__:
            # Outside of a worker's command that one would hide the request from the body.
            return self.run(*args, **kwargs)
        return following(*args, **kwargs)

    @property
    def is_limited_here(self) -> bool:
        """Whether the running call was let through by its limits, not run directly or eagerly."""
        admission = admission_of(self.request)
        return admission is not None and admission.is_limited


def admission_of(request: Any) -> Admission | None:
    """The admission of a running call; what a message header of that name holds is none."""
    admission = request.get("ratekit_admission")
    return admission if isinstance(admission, Admission) else None
