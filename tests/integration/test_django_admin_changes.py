"""What the buttons of a limit's page do, what the history says of it, and what an outage does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, current_app
from django.test import Client
from support.django_admin import (
    CHARGE,
    LIST,
    PER_USER,
    ann,
    app,
    change,
    client_of,
    history,
    manager,
    shop,
    tables,
    text_of,
    users,
)

from celery_ratekit import FixedWindow
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import NotYetError, wait_for
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter.overrides import OverrideStore
from celery_ratekit.manager import RateLimitManager
from celery_ratekit.tasks.runtime import runtime_of

__all__ = ["ann", "app", "manager", "tables", "users"]

pytestmark = pytest.mark.redis

CHARGED = ("ann", "TokenBucket.charge", "charge (TokenBucket)")


def frozen_seconds(app: Celery, limit: Any) -> float:
    [state] = runtime_of(app).limiter.inspect(limit)
    return state.frozen_seconds


def rate_of(manager: RateLimitManager, name: str = "charge") -> str:
    return manager.current_rates()[name].rate


def test_a_rate_is_set_and_unset_in_the_name_of_who_asked(
    ann: Client, manager: RateLimitManager
) -> None:
    done = change(ann, "set_rate", rate="20/m", reason="quota <1>")

    assert done.status_code == 302
    assert done.headers["Location"] == f"{CHARGE}change/"
    now = manager.current_rates()["charge"]
    assert now.rate == "20/m"
    assert [(one.by, one.reason) for one in now.overrides] == [("ann (Django admin)", "quota <1>")]
    assert "from 100/m to 20/m. Reason: quota &lt;1&gt;" in text_of(ann.get(f"{CHARGE}change/"))

    change(ann, "unset_rate")
    assert rate_of(manager) == "100/m"
    assert history() == [
        (*CHARGED, "Set rate: from 100/m to 20/m. Reason: quota <1>"),
        (*CHARGED, "Unset rate: from 20/m to 100/m."),
    ]


def test_a_rate_of_0_is_unset_as_well(ann: Client, manager: RateLimitManager) -> None:
    change(ann, "set_rate", rate="0")
    assert rate_of(manager) == "paused"
    change(ann, "unset_rate")
    assert rate_of(manager) == "100/m"


def test_a_rate_for_a_time_and_one_for_a_key_leave_the_others(
    ann: Client, manager: RateLimitManager
) -> None:
    change(ann, "set_rate", rate="20/m", seconds="600")
    change(ann, "set_rate", PER_USER, rate="50/m", key="customer/7 é")

    rates = manager.current_rates()
    [override] = rates["charge"].overrides
    assert override.until is not None
    assert (override.until - override.at).total_seconds() == pytest.approx(600)
    [both] = [one for one in rates.values() if one.kind == "FixedWindow"]
    assert (both.rate, both.keys) == ("10/m", {"customer/7 é": "50/m"})
    assert rate_of(manager, "both") == "30/m"
    change(ann, "unset_rate", PER_USER, key="customer/7 é")
    assert [one[3] for one in history()] == [
        "Set rate: from 100/m to 20/m, for 600 s.",
        "Set rate of the key 'customer/7 é': from 10/m to 50/m.",
        "Unset rate of the key 'customer/7 é': from 50/m to 10/m.",
    ]


def test_places_are_set_by_their_number(ann: Client, manager: RateLimitManager) -> None:
    change(ann, "set_rate", f"{LIST}Concurrency.places/", rate="9")
    assert rate_of(manager, "places") == "9"


def test_a_pause_ends_where_it_stood(ann: Client, manager: RateLimitManager) -> None:
    change(ann, "set_rate", rate="20/m")
    change(ann, "pause", reason="the ledger is closed", seconds="")
    assert rate_of(manager) == "paused"
    assert ">paused</span>" in text_of(ann.get(f"{CHARGE}change/"))

    change(ann, "resume")
    assert rate_of(manager) == "20/m"
    assert [one[3] for one in history()[1:]] == [
        "Pause: from 20/m to paused. Reason: the ledger is closed",
        "Resume: from paused to 20/m.",
    ]


def test_a_freeze_is_of_all_keys_or_of_one_and_ends_early(app: Celery, ann: Client) -> None:
    limit = FixedWindow("both", "10/m", key="7")
    change(ann, "freeze", PER_USER, seconds="600", key="7")
    assert 590 < frozen_seconds(app, limit) <= 600
    assert frozen_seconds(app, limit.with_key("8")) == 0
    change(ann, "unfreeze", PER_USER, key="7")
    assert frozen_seconds(app, limit) == 0

    change(ann, "freeze", PER_USER, seconds="600")
    assert 590 < frozen_seconds(app, limit.with_key("8")) <= 600
    change(ann, "unfreeze", PER_USER)
    assert frozen_seconds(app, limit.with_key("8")) == 0

    told = [one[3] for one in history()]
    assert told[0] == "Freeze of the key '7': from not frozen to frozen for 600 s."
    assert told[1].startswith("Unfreeze of the key '7': from frozen for ")
    assert told[1].endswith(" to not frozen.")
    assert len(told) == 4


def test_the_history_page_names_who_did_what(ann: Client) -> None:
    change(ann, "pause", reason="<b>")

    text = text_of(ann.get(f"{CHARGE}history/"))

    assert "Pause: from 100/m to paused. Reason: &lt;b&gt;" in text
    assert "ann" in text
    assert f'href="{CHARGE}change/"' in text_of(ann.get("/admin/"))


@pytest.mark.parametrize(
    ("action", "fields", "says"),
    [
        ("set_rate", {"rate": "10/min"}, "expected a unit"),
        ("set_rate", {"rate": ""}, "Rate: This field is required."),
        ("set_rate", {"rate": "1/s", "seconds": "inf"}, "For so many seconds: "),
        ("set_rate", {"rate": "1/s", "seconds": "-1"}, "For so many seconds: "),
        ("set_rate", {"rate": "1/s", "key": "k" * 201}, "Only for the key: "),
        ("set_rate", {"rate": "1/s", "key": "a\x00b"}, "Null characters are not allowed"),
        ("pause", {"seconds": "1e99"}, "For so many seconds: "),
        ("freeze", {"seconds": ""}, "For so many seconds: This field is required."),
        ("freeze", {"seconds": "nan"}, "For so many seconds: "),
        ("freeze", {"seconds": "3e6"}, "For so many seconds: "),
        ("unset_rate", {"key": "k" * 201}, "Only for the key: "),
    ],
)
def test_what_cannot_be_is_said_beside_what_was_typed(
    ann: Client, manager: RateLimitManager, action: str, fields: dict[str, str], says: str
) -> None:
    page = change(ann, action, reason='"typed"', **fields)

    assert page.status_code == 200
    text = text_of(page)
    assert '<ul class="errorlist">' in text
    assert says in text
    assert 'value="&quot;typed&quot;"' in text
    assert rate_of(manager) == "100/m"
    assert history() == []


def test_a_rate_that_is_fixed_in_code_is_not_set_by_a_made_up_form(
    ann: Client, manager: RateLimitManager
) -> None:
    for limit in ("TokenBucket.fixed", "ScheduledBucket.night"):
        address = f"{LIST}{limit}/"
        assert change(ann, "set_rate", address, rate="1/s").status_code == 302
        assert "There is no such button" in text_of(ann.get(f"{address}change/"))
    assert rate_of(manager, "fixed") == "9/m"
    assert history() == []


@pytest.mark.parametrize("word", ["", "delete", "do", "__class__"])
def test_a_button_that_is_not_there_changes_nothing(ann: Client, word: str) -> None:
    page = ann.post(f"{CHARGE}change/", {"action": word}, follow=True)
    assert "There is no such button" in text_of(page)
    assert history() == []


def test_hidden_keys_stay_hidden_in_the_history(redis_url: str, app: Celery, users: None) -> None:
    private = shop(redis_url, ratekit_hash_keys=True)
    private.set_current()
    ann = client_of("ann")

    assert change(ann, "set_rate", PER_USER, rate="50/m", key="ann@example.com").status_code == 302

    assert "ann@example.com" not in str(history())
    assert "Set rate of the key '~" in history()[0][3]
    assert "ann@example.com" not in text_of(ann.get(f"{PER_USER}change/"))
    runtime_of(private).limiter.close()
    private.close()


def test_a_change_that_the_history_cannot_take_is_not_tried(
    ann: Client, manager: RateLimitManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.contrib.admin.models import LogEntry

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("the database is read-only")

    monkeypatch.setattr(LogEntry, "save", refuse)
    ann.raise_request_exception = False

    assert change(ann, "pause").status_code == 500

    assert not manager.current_rates()["charge"].is_paused


@pytest.mark.parametrize("is_done", [True, False])
def test_a_change_without_an_answer_stays_in_the_history(
    ann: Client, manager: RateLimitManager, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    write = OverrideStore.write

    def write_and_lose(store: OverrideStore, changes: Any) -> Any:
        if is_done:
            write(store, changes)
        raise LimiterUnavailableError("there was no answer", maybe_charged=is_done)

    monkeypatch.setattr(OverrideStore, "write", write_and_lose)

    assert "there was no answer" in text_of(change(ann, "pause", reason="why"))

    assert manager.current_rates()["charge"].is_paused == is_done
    told = "Pause: Redis gave no answer, so that it may count or not. Reason: why"
    assert history() == [(*CHARGED, told)]


def test_the_end_of_a_keys_freeze_says_that_all_keys_are_frozen(ann: Client) -> None:
    change(ann, "freeze", PER_USER, seconds="3000")
    change(ann, "unfreeze", PER_USER, key="7")
    assert history()[1][3].partition(" to ")[2].startswith("frozen for ")


# -- Redis away -----------------------------------------------------------------------------


@pytest.fixture
def apart(private_redis: EmbeddedRedis, users: None) -> Iterator[Client]:
    """Ann at a shop with a Redis of its own."""
    before = current_app._get_current_object()
    app = shop(private_redis.url, ratekit_redis_timeout=0.5)
    app.set_current()
    yield client_of("ann")
    before.set_current()
    runtime_of(app).limiter.close()
    app.close()


@pytest.fixture
def away(private_redis: EmbeddedRedis, apart: Client) -> Client:
    """The same after that Redis is gone."""
    private_redis.stop()
    return apart


def test_without_redis_the_pages_say_so(away: Client) -> None:
    for page in (LIST, f"{CHARGE}change/"):
        found = away.get(page)
        assert found.status_code == 503
        assert "Redis gives no answer" in text_of(found)
    assert away.get(f"{CHARGE}history/").status_code == 200


def test_without_redis_nothing_is_changed_and_the_history_does_not_say_so(away: Client) -> None:
    found = change(away, "pause")
    assert found.status_code == 503
    assert history() == []


def test_a_redis_that_hangs_hangs_no_page_and_comes_back(
    private_redis: EmbeddedRedis, apart: Client
) -> None:
    assert apart.get(LIST).status_code == 200
    private_redis.pause()
    assert apart.get(LIST).status_code == 503
    assert change(apart, "pause").status_code == 503
    private_redis.resume()

    def check() -> None:
        if apart.get(LIST).status_code != 200:
            raise NotYetError("still away")

    wait_for("the list", check, timeout=20)
    assert history() == []


def test_an_app_without_redis_says_what_to_set(users: None) -> None:
    before = current_app._get_current_object()
    Celery("bare", broker="memory://")
    page = client_of("ann").get(LIST)
    before.set_current()
    assert page.status_code == 503
    assert "ratekit_redis_url" in text_of(page)
    assert "Redis gives no answer" not in text_of(page)
