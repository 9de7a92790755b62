"""What is stored once, what is stored again, who has it, and that nothing stays behind."""

from __future__ import annotations

import math
import os

import pytest
import redis
from support.backlogs import KEYS, backlog, clock, connect, identity, messages, parking, user
from support.clocked import redis_server_client
from support.unsteady import Unsteady
from support.world import Clock

from celery_ratekit.backlog import Backlog, Return
from celery_ratekit.backlog.scripts import PARK
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError, StateVersionError
from celery_ratekit.limits import Concurrency, TokenBucket

__all__ = ["backlog", "clock", "redis_server_client"]

pytestmark = pytest.mark.redis

STRANGE = ["{}", "{a}b}", "a b\r\n", "", "x" * 10_000, "\ud800\udc00", "%s%00", "\x00", "ü:~{"]


def claim(backlog: Backlog, worker: str = "w", count: int = 100) -> list[str]:
    return messages(backlog.claim("q", worker, ["send"], count))


def finish_all(backlog: Backlog, queue: str = "q", task: str = "send") -> int:
    done = 0
    while claims := backlog.claim(queue, "last", [task], 100).claims:
        done += backlog.finish(queue, "last", [one.entry_id for one in claims])
    return done


# -- the same message ------------------------------------------------------------------------


def test_a_message_that_is_delivered_again_is_stored_once(backlog: Backlog) -> None:
    assert backlog.park([parking("m"), parking("m")]) == [True, True]
    assert backlog.park([parking("m")]) == [True]
    assert claim(backlog) == ["m"]
    assert backlog.park([parking("m")]) == [True]  # Also while somebody has it.
    assert claim(backlog) == []


def test_a_retry_with_the_same_task_id_is_an_entry_of_its_own(backlog: Backlog) -> None:
    retry = parking("m", identity=identity("retry"), message=b"retry")
    assert backlog.park([parking("m"), retry]) == [True, True]
    first, second = backlog.claim("q", "w", ["send"], 9).claims
    assert (first.message, second.message) == (b"m", b"retry")
    # The first is over, and the broker delivers the second again: it is there already.
    backlog.finish("q", "w", [first.entry_id])
    assert backlog.park([retry]) == [True]
    assert backlog.sizes("q").waiting == 0


def test_a_message_whose_answer_was_lost_is_not_stored_again_though_it_is_over(
    clock: Clock, redis_url: str, redis_server_client: redis.Redis
) -> None:
    unsteady = Unsteady(connect(redis_url))
    backlog = Backlog(unsteady, KEYS, clock=clock)
    again = parking("m", may_be_stored=True, token=b"token  1")
    unsteady.loses = [PARK]
    with pytest.raises(LimiterUnavailableError):
        backlog.park([parking("m", may_be_stored=False, token=b"token  1")])
    assert finish_all(backlog) == 1

    assert backlog.park([again]) == [True]
    assert backlog.sizes("q").waiting == 0
    (receipts,) = redis_server_client.keys("*:p*")
    assert 0 < redis_server_client.pttl(receipts) <= 15_000
    # Who has had the answer says so with its next message, and another of that id is a new one.
    assert backlog.park([parking("n", token=b"token  2")]) == [True]
    assert redis_server_client.hkeys(receipts) == [b"token  2"]
    assert backlog.park([again]) == [True]
    assert sorted(claim(backlog)) == ["m", "n"]
    unsteady.close()


def test_what_was_refused_has_no_receipt(backlog: Backlog) -> None:
    assert backlog.park([parking("m")]) == [True]
    other = parking("n", token=b"token  1")
    assert backlog.park([other], most=1) == [False]
    assert finish_all(backlog) == 1

    assert backlog.park([other], most=1) == [True]
    assert claim(backlog) == ["n"]


def test_a_message_that_is_certainly_new_is_stored_again(backlog: Backlog) -> None:
    new = parking("m", may_be_stored=False)
    backlog.park([new, new, new])
    assert claim(backlog) == ["m", "m", "m"]


def test_a_task_id_has_room_for_256_entries(
    backlog: Backlog, redis_server_client: redis.Redis
) -> None:
    stored = backlog.park([parking("m", may_be_stored=False) for _ in range(300)])
    assert stored == [True] * 256 + [False] * 44
    assert finish_all(backlog) == 256
    assert redis_server_client.dbsize() == 0


def test_no_more_than_the_most_wait_for_a_limit(backlog: Backlog) -> None:
    several = [parking(f"m{number}", user(str(number))) for number in range(5)]
    assert backlog.park(several, most=3) == [True, True, True, False, False]
    assert backlog.park([parking("other", user(name="other"))], most=3) == [True]
    assert backlog.park(several, most=3) == [True, True, True, False, False]
    # Who was claimed may come back, so its room is kept until it is over.
    (first,) = backlog.claim("q", "w", ["send"], 1).claims
    assert backlog.park(several, most=3) == [True, True, True, False, False]
    backlog.give_back("w", [Return(first)])
    assert backlog.park(several, most=3) == [True, True, True, False, False]
    (first,) = backlog.claim("q", "w", ["send"], 1).claims
    backlog.finish("q", "w", [first.entry_id])
    assert backlog.park(several[1:], most=3) == [True, True, True, False]


# -- claims ----------------------------------------------------------------------------------


def test_nobody_gets_what_another_has(backlog: Backlog) -> None:
    backlog.park([parking(f"m{number}") for number in range(4)])
    assert claim(backlog, "w1", 2) == ["m0", "m1"]
    assert claim(backlog, "w2") == ["m2", "m3"]
    assert backlog.claimers("q") == ["w1", "w2"]


def test_a_worker_that_was_taken_for_dead_harms_nobody(backlog: Backlog) -> None:
    backlog.park([parking("m")])
    (late,) = backlog.claim("q", "late", ["send"], 1).claims
    assert not late.is_again
    assert backlog.give_back_all("q", "late") == 1
    (again,) = backlog.claim("q", "w", ["send"], 1).claims
    assert again.is_again
    assert backlog.finish("q", "late", [late.entry_id]) == 0
    backlog.give_back("late", [Return(late)])
    assert claim(backlog) == []
    assert backlog.finish("q", "w", [again.entry_id]) == 1


def test_what_a_limit_denied_did_not_run(backlog: Backlog) -> None:
    backlog.park([parking("m")])
    (one,) = backlog.claim("q", "w", ["send"], 1).claims
    backlog.give_back("w", [Return(one, user(), 0)])
    (one,) = backlog.claim("q", "w", ["send"], 1).claims
    assert not one.is_again
    backlog.give_back("w", [Return(one)])
    (one,) = backlog.claim("q", "w", ["send"], 1).claims
    assert one.is_again


def test_a_worker_that_lost_an_answer_keeps_what_it_knows_of(backlog: Backlog) -> None:
    backlog.park([parking(f"m{number}") for number in range(5)])
    known = backlog.claim("q", "w", ["send"], 2).claims
    backlog.claim("q", "w", ["send"], 2)
    assert backlog.give_back_all("q", "w", keep=[one.entry_id for one in known]) == 2
    assert claim(backlog, "w2") == ["m2", "m3", "m4"]
    assert backlog.finish("q", "w", [one.entry_id for one in known]) == 2


def test_the_dead_give_back_more_than_fits_into_one_script(backlog: Backlog) -> None:
    backlog.park([parking(f"m{number}") for number in range(450)])
    claim(backlog, "dead", 450)
    assert backlog.give_back_all("q", "dead") == 450
    assert claim(backlog, count=450) == [f"m{number}" for number in range(450)]


def test_revoked_tasks_are_taken_wherever_they_wait(backlog: Backlog) -> None:
    parked = [parking(f"m{number}", user(str(number % 2))) for number in range(4)]
    backlog.park(parked)
    taken = backlog.take("q", "w", [parked[2].task_id, parked[3].task_id, "unknown"])
    assert [(one.message, one.task, one.is_last) for one in taken] == [
        (b"m2", "send", False),
        (b"m3", "send", False),
    ]
    assert backlog.take("q", "w2", [parked[2].task_id]) == []
    assert claim(backlog) == ["m0", "m1"]


def test_liveness_is_a_matter_of_time(backlog: Backlog, redis_server_client: redis.Redis) -> None:
    backlog.say_alive("a", 30)
    backlog.say_alive("b" * 1_000, 0.0001)
    backlog.say_alive("c{", 30)
    backlog.say_gone("c{")
    assert 29_000 < redis_server_client.pttl(KEYS.liveness("a")) <= 30_000
    while redis_server_client.dbsize() > 1:
        pass
    assert backlog.alive(["a", "b" * 1_000, "c{", "d"]) == [True, False, False, False]
    assert backlog.alive([]) == []


# -- what is left ----------------------------------------------------------------------------


def test_a_drained_backlog_leaves_no_key(
    backlog: Backlog, redis_server_client: redis.Redis
) -> None:
    limits = (user("a"), Concurrency("places", 2))
    backlog.park([parking(f"m{number}", limits, wait_seconds=5) for number in range(250)])
    assert backlog.queues() == ["q"]
    backlog.wake("q", limit_name="api")
    backlog.claim("q", "w", ["send"], 10, freed=[limits[1]])
    backlog.give_back_all("q", "w")
    assert finish_all(backlog) == 250
    assert redis_server_client.dbsize() == 0
    assert backlog.queues() == []
    assert backlog.sizes("q").waiting == 0
    assert backlog.next_due(["q"], ["send"]) == math.inf


def test_scripts_that_redis_forgot_are_sent_again(
    backlog: Backlog, redis_server_client: redis.Redis
) -> None:
    for number in range(3):
        redis_server_client.script_flush()
        backlog.park([parking(f"a{number}"), parking(f"b{number}")])
        redis_server_client.script_flush()
        assert claim(backlog) == [f"a{number}", f"b{number}"]


@pytest.mark.parametrize("strange", STRANGE)
def test_no_name_reaches_anothers_data(
    backlog: Backlog, redis_server_client: redis.Redis, strange: str
) -> None:
    limit = TokenBucket(strange or "x", "1/s", key=strange)
    parked = parking("m", limit, queue=strange, task=strange, task_id=strange)
    backlog.park([parked, parking("other")])
    assert backlog.queues() == sorted(["q", strange])
    sizes = backlog.sizes(strange)
    assert sizes.by_task == {strange: 1}
    assert sizes.by_limit == {strange or "x": 1}
    (seen,) = backlog.peek(strange, 9, limit_name=strange or "x")
    assert (seen.task, seen.limit_name) == (strange, strange or "x")
    assert seen.task_id == (strange if len(strange) < 500 else strange[:497] + "...")
    location = backlog.locate(strange, strange)
    assert location is not None
    assert location.task == strange
    assert all(len(key) < 300 for key in redis_server_client.scan_iter())
    (one,) = backlog.claim(strange, strange, ["send", strange], 9).claims
    assert (one.queue, one.task, one.message) == (strange, strange, b"m")
    assert backlog.claimers(strange) == [strange]
    backlog.give_back(strange, [Return(one)])
    assert backlog.purge(strange, limit_name=strange or "x", key=strange, task=strange) == 1
    assert finish_all(backlog) == 1
    assert redis_server_client.dbsize() == 0


def test_counts_are_exact(backlog: Backlog) -> None:
    for number in range(1_300):
        limits = (user(str(number % 3)), user(name="all"))
        if number % 100 == 0:
            backlog.park([])
        backlog.park([parking(f"m{number}", limits, task=f"t{number % 2}")])
    backlog.claim("q", "w", ["t0"], 7)
    sizes = backlog.sizes("q")
    assert (sizes.waiting, sizes.claimed, sizes.groups) == (1_293, 7, 6)
    assert sizes.by_task == {"t0": 643, "t1": 650}
    assert sizes.by_limit == {"all": 1_293, "api": 1_293}
    of_user_0 = 434 - 3  # Each seventh claim was of the six groups' turn: 0, 2, 1, 0, 2, 1, 0.
    assert backlog.purge("q", limit_name="api", key="0") == of_user_0
    assert backlog.purge("q", limit_name="all", key="0") == 0
    assert backlog.purge("q", task="t1") == 650 - 217
    assert backlog.purge("q") == backlog.sizes("q").waiting + 1_293 - of_user_0 - (650 - 217)
    assert backlog.sizes("q").claimed == 7


def test_the_oldest_may_stand_behind_newer_ones(backlog: Backlog, clock: Clock) -> None:
    backlog.park([parking("old", rank=7)])
    clock.step(5_000_000)
    backlog.park([parking("new", rank=0), parking("b", user("b"))])
    clock.step(2_000_000)
    assert backlog.sizes("q").oldest_age_seconds == 7


# -- when Redis refuses ----------------------------------------------------------------------


def test_a_full_redis_can_be_drained(private_redis: EmbeddedRedis) -> None:
    transport = connect(private_redis.url)
    backlog = Backlog(transport, KEYS)
    with private_redis.client() as client:
        backlog.park([parking(f"m{number}", wait_seconds=0) for number in range(20)])
        backlog.claim("q", "dead", ["send"], 5)
        client.config_set("maxmemory", 1)
        with pytest.raises(LimiterUnavailableError, match=r"maxmemory|OOM"):
            backlog.park([parking("more")])
        fresh = Backlog(connect(private_redis.url), KEYS)
        assert fresh.give_back_all("q", "dead") == 5
        (one, *_) = fresh.claim("q", "w", ["send"], 3, freed=[user()]).claims
        fresh.give_back("w", [Return(one, user(), 0)])
        fresh.give_back_all("q", "w")
        assert fresh.wake("q") == 0
        assert finish_all(fresh) == 20
        client.config_set("maxmemory", 0)
        assert not [key for key in client.scan_iter() if b"{:q}" in key]
    transport.close()


def test_what_a_newer_release_wrote_stays_where_it_is(
    backlog: Backlog, redis_server_client: redis.Redis
) -> None:
    backlog.park([parking("m0"), parking("m1")])
    (first, _) = redis_server_client.zrange(_group_key(redis_server_client), 0, -1)
    messages_key = KEYS.backlog("q") + "m"
    record: bytes = redis_server_client.hget(messages_key, first)  # type: ignore[assignment, arg-type]
    redis_server_client.hset(messages_key, first, b"\x02" + record[1:])  # type: ignore[arg-type]
    with pytest.raises(StateVersionError):
        backlog.claim("q", "w", ["send"], 9)
    redis_server_client.hset(messages_key, first, record)  # type: ignore[arg-type]
    assert claim(backlog) == ["m0", "m1"]


def _group_key(client: redis.Redis) -> bytes:
    prefix = KEYS.backlog("q").encode() + b"g"
    (key,) = [key for key in client.scan_iter() if key.startswith(prefix)]
    assert isinstance(key, bytes)
    return key


def test_looking_costs_one_command_for_each_queue(
    redis_url: str, redis_server_client: redis.Redis
) -> None:
    transport = connect(redis_url)
    backlog = Backlog(transport, KEYS)  # With the server's clock.
    several = [parking(os.urandom(8).hex(), user(str(n)), wait_seconds=60) for n in range(1_000)]
    backlog.park(several)
    redis_server_client.config_resetstat()
    for _ in range(10):
        assert 0 < backlog.next_due(["q"], ["send", "other"]) <= 60
    calls = redis_server_client.info("commandstats")
    assert {name: one["calls"] for name, one in calls.items() if "config" not in name} == {
        "cmdstat_zrange": 10
    }
    transport.close()
