"""b. Users of one queue, each with a limit of their own."""

from __future__ import annotations

from collections.abc import Iterator

from celery_ratekit.demo.figures import reached_per_second, share_of_limit
from celery_ratekit.manager import RateLimitManager

from ..figures import at_least
from ..report.measured import Measured
from .crew import Crew, Size
from .effort import Effort
from .fairness import least_jain_index, while_all_wait
from .setup import LIMIT, LIMITED
from .stage import NEVER, Stage, new_name, stage

__all__ = ["measure"]

PER_SECOND = 10
"""The rate of each of two users, of whom one has far more tasks."""

LEAST_SHARE_PERCENT = 95.0
"""Of few tasks: the lateness of the last one is a part of the time that they take."""

LEAST_INDEX = 0.99

SIZE = Size(workers=1, processes=4)


def measure(effort: Effort) -> list[Measured]:
    """A user with few tasks beside one with many; then many users with a backlog each."""
    return [*_beside(effort), *_many_users(effort)]


def _beside(effort: Effort) -> Iterator[Measured]:
    group = f"b. A has {effort.many:,} tasks, B {effort.few}, {PER_SECOND}/s for each"
    behind, later = [], []
    with stage() as one, one.crew(f"{PER_SECOND}/s", SIZE) as crew:
        for _ in range(effort.repeats):
            shares = _shares_of_b(one, crew, effort)
            behind.append(shares[0] * 100)
            later.append(shares[1] * 100)
    for name, values in (("behind A's", behind), ("once A's are parked", later)):
        yield Measured(
            group,
            f"B's share of its own rate, sent {name}",
            values,
            "%",
            at_least(LEAST_SHARE_PERCENT),
            min,
            effort.is_judged,
        )


def _shares_of_b(stage: Stage, crew: Crew, effort: Effort) -> tuple[float, float]:
    """How much B uses of its rate with tasks behind those of A, and with later ones."""
    queue, of_a, of_b, later = new_name(), new_name(), new_name(), new_name()
    stage.post.fill(queue, ((LIMITED, (of_a, n, of_a)) for n in range(effort.many)))
    stage.post.fill(queue, ((LIMITED, (of_b, n, of_b)) for n in range(effort.few)))
    crew.consume(queue)
    stage.wait_for_starts(of_b, effort.few, crew)
    stage.wait_until_taken(queue, crew)
    with stage.app.producer_pool.acquire(block=True) as producer:
        for number in range(effort.few):
            stage.app.send_task(LIMITED, (later, number, later), queue=queue, producer=producer)
    stage.wait_for_starts(later, effort.few, crew)
    crew.cancel(queue)
    stage.backlog.purge(queue)
    return _share(stage, of_b), _share(stage, later)


def _share(stage: Stage, label: str) -> float:
    moments = [start.started_at for start in stage.book.starts(label)]
    return share_of_limit(moments, PER_SECOND, 1)


def _many_users(effort: Effort) -> Iterator[Measured]:
    """All wait first, and then have a rate of their own that together no worker can run."""
    users, each = effort.users, effort.each
    group = f"b. {users:,} users with {each} waiting tasks each, 1/s for each"
    with stage() as one:
        queue, label = new_name(), new_name()
        tasks = [
            (LIMITED, (label, user, str(user))) for _ in range(1 + each) for user in range(users)
        ]
        one.post.fill(queue, tasks)
        with one.crew(NEVER, SIZE) as crew:
            crew.consume(queue)
            one.wait_until_taken(queue, crew)
            one.wait_for_starts(label, users, crew)
            one.fill_buckets(str(user) for user in range(users))
            RateLimitManager(one.app).adjust_rate(LIMIT, "1/s")
            one.wait_for_starts(label, len(tasks), crew)
        starts = one.book.starts(label)[users:]
    order = [start.number for start in starts]
    counted = while_all_wait(order, each)
    index = least_jain_index(counted, users)
    yield Measured(
        group,
        f"Jain's index of any {users:,} consecutive starts, least",
        [0.0 if index is None else index],
        "",
        at_least(LEAST_INDEX),
        min,
        effort.is_judged and index is not None,
    )
    yield Measured(group, "starts while all waited", [len(counted)], "")
    yield Measured(group, "starts", [reached_per_second([one.started_at for one in starts])], "/s")
