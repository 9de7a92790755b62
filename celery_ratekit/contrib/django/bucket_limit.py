"""What a token bucket asks of the calls of one function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Task

from ...limits import Limit
from ...tasks.admission import Admission
from ...tasks.base import admission_of
from ...tasks.call import Call
from ...tasks.function_limits import FunctionLimit
from . import retrying
from .buckets import token_bucket
from .token_bucket import TokenBucket

__all__ = ["BucketLimit", "known_limits"]


class BucketLimit(FunctionLimit):
    """One decorator: the bucket's name, and how a call waits that finds no token.

    ``backoff_seconds``: it is sent again, to run so much later; None: it waits for its turn.
    ``spends_retries``: each such wait is one of the task's retries.
    """

    def __init__(self, name: str, *, backoff_seconds: float | None, spends_retries: bool) -> None:
        self.name = name
        self.backoff_seconds = backoff_seconds
        self.spends_retries = spends_retries
        self.label = f"@rate_limit({name!r:.60})"
        #: Where the function stands that is decorated, for messages.
        self.place = ""

    def note(self, function: Callable[..., Any]) -> None:
        """Takes note of the function that is decorated."""
        self.place = f"{function.__module__}.{getattr(function, '__qualname__', function)}"
        _known[self.place] = self

    @property
    def bucket(self) -> TokenBucket:
        """The bucket; raises UnknownTokenBucketError where it is not registered."""
        return token_bucket(self.name)

    @property
    def gate_limits(self) -> Sequence[Limit]:
        return () if self._asks_itself else (self.bucket.limit,)

    @property
    def declared_limits(self) -> Sequence[Limit]:
        return () if self.bucket.is_queued else (self.bucket.limit,)

    @contextmanager
    def admitted(self, task: Task, request: Any, call: Call) -> Iterator[None]:
        if self._asks_itself:
            retrying.wait_for_token(task, request, self)
        elif admission_of(request) is None:
            admission = request.ratekit_admission = Admission(task, request)
            try:
                admission.admit(call)
                yield
            finally:
                admission.finish()
            return
        yield

    @property
    def _asks_itself(self) -> bool:
        """Whether the function asks for its token, and is sent again where there is none."""
        return self.bucket.is_queued or self.spends_retries or self.backoff_seconds is not None


def known_limits() -> list[BucketLimit]:
    """Every decorator that this process has met."""
    return list(_known.values())


_known: dict[str, BucketLimit] = {}
