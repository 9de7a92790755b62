"""Deletes what waits in the backlog, and counts what throttled queues lose with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from ..errors import RatekitError
from ..queues import place_of
from ..tasks.queue_ends import FAILED
from ..tasks.runtime import Runtime

__all__ = ["purge"]

logger = logging.getLogger(__name__)


def purge(
    runtime: Runtime,
    queue: str,
    *,
    limit_name: str | None = None,
    key: str | None = None,
    task: str | None = None,
) -> int:
    """As `Backlog.purge`; a task that waited for a throttled queue has failed for its counts."""

    def told(removed: Mapping[str, Sequence[bytes]]) -> None:
        for name, ids in removed.items():
            _close(runtime, name, ids)

    return runtime.backlog.purge(queue, limit_name=limit_name, key=key, task=task, told=told)


def _close(runtime: Runtime, limit_name: str, ids: Sequence[bytes]) -> None:
    """Where the limit is no throttled queue's, there is nothing that could be closed."""
    prefix, slash, name = limit_name.partition("/")
    if not slash:
        return
    try:
        place = place_of([prefix, name])
        runtime.queue_store(place.prefix).close_all(place.name, ids, FAILED)
    except RatekitError as error:
        logger.warning("rate limits: %d ends of %r were not counted: %s", len(ids), name, error)
