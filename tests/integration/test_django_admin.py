"""The admin's pages of limits: what they show, and to whom."""

from __future__ import annotations

import io

import pytest
from celery import Celery
from celery.schedules import crontab
from django.contrib.admin.utils import quote
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings
from support.django_admin import (
    CHARGE,
    LIST,
    PER_USER,
    add_task,
    ann,
    app,
    change,
    client_of,
    eve,
    history,
    manager,
    park,
    tables,
    text_of,
    users,
)
from support.django_site import user_with

from celery_ratekit import RateLimitedTask, TokenBucket
from celery_ratekit.contrib.django import TokenBucket as TokenBucketOfSettings
from celery_ratekit.contrib.django.admin_ids import page_id
from celery_ratekit.contrib.django.decorators import rate_limit
from celery_ratekit.manager import RateLimitManager
from celery_ratekit.tasks.runtime import runtime_of

__all__ = ["ann", "app", "eve", "manager", "tables", "users"]

pytestmark = pytest.mark.redis

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7|add:7 }}{% debug %}",
    "../../auth/user/?x=1&y=2#z",
    "a/b\\c:d;e",
    "%2F_2F%",
    ".",
    " ",
    "line\nbreak\rtab\tnull\x00escape\x1b[31m",
    "turned \u202e round",
    "half a pair \ud800",
    "ü€😀",
    "x" * 150,
]


def test_the_list_names_every_limit_with_both_its_rates(
    ann: Client, manager: RateLimitManager
) -> None:
    manager.adjust_rate("charge", "20/m")

    text = " ".join(text_of(ann.get(LIST)).split())

    row = '<td>TokenBucket</td> <td class="text declared">100/m</td> <td class="changed">20/m</td>'
    assert f'TokenBucket.charge/change/">charge</a></th> {row}' in text
    for name in ("fixed", "places", "night"):
        assert f">{name}</a>" in text
    assert text.count(">both</a>") == 2
    assert "5 at crontab 0 0 * * *" in text
    assert "6 limits" in text


def test_pauses_freezes_and_switches_are_listed(ann: Client, manager: RateLimitManager) -> None:
    manager.pause("places")
    manager.freeze("charge", 3_000)
    manager.disable("fixed")

    text = text_of(ann.get(LIST))

    assert ">paused</span>" in text
    assert ">frozen for 3000 s</span>" in text or ">frozen for 2999 s</span>" in text
    assert ">switched off</span>" in text
    assert "All limits are switched off" not in text
    manager.disable(by="bob <b>", reason="incident")
    assert "set by bob &lt;b&gt; at" in text_of(ann.get(LIST))


def test_what_waits_is_counted_by_limit_and_by_queue(app: Celery, ann: Client) -> None:
    park(app, "<slow>", "charge", 3)

    text = " ".join(text_of(ann.get(LIST)).split())

    assert '<td class="number">3</td> <td></td>' in text
    queue = '<td class="number">3</td> <td class="number">0</td> <td class="number">1</td>'
    assert f'<th scope="row">&lt;slow&gt;</th> {queue}' in text
    assert "3 calls in the backlog" in text_of(ann.get(f"{CHARGE}change/"))


def test_the_page_of_a_limit_says_who_set_what_and_why(
    ann: Client, manager: RateLimitManager
) -> None:
    manager.adjust_rate("charge", "20/m", by="bob", reason="the provider <asked>")
    manager.pause("charge", by="carl", for_seconds=900)

    text = text_of(ann.get(f"{CHARGE}change/"))

    assert "rate 20/m" in text
    assert "the provider &lt;asked&gt;" in text
    assert "bob" in text
    assert "carl" in text
    assert "paused" in text


def test_keys_with_a_rate_of_their_own_are_shown(ann: Client, manager: RateLimitManager) -> None:
    manager.adjust_rate("both", "50/m", key="<7>", kind="FixedWindow")

    text = text_of(ann.get(f"{PER_USER}change/"))

    assert '<th scope="row">&lt;7&gt;</th><td>50/m</td>' in text
    assert "for each key apart" in text


def test_a_rate_that_cannot_be_changed_has_no_form(ann: Client) -> None:
    for limit in ("TokenBucket.fixed", "ScheduledBucket.night"):
        text = text_of(ann.get(f"{LIST}{limit}/change/"))
        assert 'value="set_rate"' not in text
        assert 'value="pause"' in text


def call() -> None:
    """Calls a partner."""


def test_a_token_bucket_of_the_settings_is_listed_and_paused(
    app: Celery, ann: Client, manager: RateLimitManager
) -> None:
    bucket = TokenBucketOfSettings("my_api", crontab(minute=0), 10, 20)
    with override_settings(CELERY_TOKEN_BUCKETS={"my_api": bucket}):
        app.task(name="call", shared=False, lazy=False)(rate_limit("my_api")(call))

        assert "10 at crontab 0 * * * *" in text_of(ann.get(LIST))
        assert change(ann, "pause", f"{LIST}ScheduledBucket.my_5Fapi/").status_code == 302
        assert manager.current_rates()["my_api"].is_paused


def test_a_limit_that_only_other_workers_declare_is_shown_and_changed(
    app: Celery, ann: Client
) -> None:
    with_others = runtime_of(app).limiter
    with_others.overrides.declare([TokenBucket("elsewhere", "70/m")], 60)
    address = f"{LIST}TokenBucket.elsewhere/"

    assert "70/m, only by live workers of other code" in text_of(ann.get(f"{address}change/"))
    assert change(ann, "set_rate", address, rate="7/m").status_code == 302
    assert '<dd class="changed">7/m</dd>' in text_of(ann.get(f"{address}change/"))


def test_a_part_of_a_name_finds_limits(ann: Client) -> None:
    text = text_of(ann.get(LIST, {"q": "CHAR"}))
    assert ">charge</a>" in text
    assert "1 limit\n" in text

    assert "No limit has this in its name." in text_of(ann.get(LIST, {"q": '"><script>'}))


def test_many_limits_come_in_pages(app: Celery, ann: Client) -> None:
    for number in range(120):
        limits = [TokenBucket(f"many {number:03}", "1/s")]
        add_task(app, f"task {number}", RateLimitedTask, limits=limits)

    first = text_of(ann.get(LIST, {"q": "many"}))
    second = text_of(ann.get(LIST, {"q": "many", "p": "2"}))

    assert "120 limits, page 1 of 2" in first
    assert 'href="?q=many&amp;p=2"' in first
    assert "many 099" in first
    assert "many 100" not in first
    assert "many 119" in second
    for odd in ("0", "-1", "99", "x"):
        assert ann.get(LIST, {"p": odd}).status_code == 200


# -- who may what ---------------------------------------------------------------------------


def test_seeing_and_changing_are_the_two_permissions(tables: None) -> None:
    from django.contrib.auth.models import Permission

    found = Permission.objects.filter(content_type__model="ratelimit")
    assert sorted(one.codename for one in found) == ["change_ratelimit", "view_ratelimit"]


def test_there_is_no_table(tables: None) -> None:
    from celery_ratekit.contrib.django.models import RateLimit

    assert RateLimit._meta.db_table not in connection.introspection.table_names()
    assert list(RateLimit.objects.all()) == []


def test_models_and_migrations_agree(tables: None) -> None:
    call_command("makemigrations", "celery_ratekit", check=True, dry_run=True, verbosity=0)


def test_a_dump_of_the_database_passes_by(tables: None) -> None:
    dumped = io.StringIO()
    call_command("dumpdata", stdout=dumped)
    assert "celery_ratekit.ratelimit" not in dumped.getvalue()


@pytest.mark.parametrize("page", ["", "TokenBucket.charge/change/", "TokenBucket.charge/history/"])
def test_without_permission_nothing_is_seen(app: Celery, users: None, page: str) -> None:
    assert client_of("joe").get(LIST + page).status_code == 403
    stranger = Client().get(LIST + page)
    assert stranger.status_code == 302
    assert stranger.headers["Location"].startswith("/admin/login/")


def test_the_admins_index_shows_limits_only_to_those_who_may_see_them(
    eve: Client, users: None
) -> None:
    assert LIST in text_of(eve.get("/admin/"))
    assert LIST not in client_of("joe").get("/admin/").content.decode()


def test_who_may_only_see_gets_no_form_and_cannot_change(
    eve: Client, manager: RateLimitManager
) -> None:
    text = text_of(eve.get(f"{CHARGE}change/"))
    assert 'name="action"' not in text
    assert "not change it" in text

    assert change(eve, "pause").status_code == 403
    assert not manager.current_rates()["charge"].is_paused
    assert history() == []


def test_who_may_change_a_limit_may_see_it(app: Celery, users: None) -> None:
    user_with("dan", "change_ratelimit")
    assert client_of("dan").get(f"{CHARGE}change/").status_code == 200


def test_nobody_adds_or_deletes_limits(app: Celery, users: None) -> None:
    user_with("root", is_superuser=True)
    root = client_of("root")
    for page in ("add/", "TokenBucket.charge/delete/"):
        assert root.get(LIST + page).status_code == 403
        assert root.post(LIST + page, {"post": "yes"}).status_code == 403


def test_nothing_is_changed_by_looking(ann: Client, manager: RateLimitManager) -> None:
    for method in (ann.get, ann.head):
        found = method(f"{CHARGE}change/", {"action": "pause", "pause-key": ""})
        assert found.status_code == 200
    for method in (ann.put, ann.delete, ann.patch, ann.options):
        assert method(f"{CHARGE}change/?action=pause").status_code == 405
    assert ann.post(LIST, {"action": "pause"}).status_code == 405

    assert not manager.current_rates()["charge"].is_paused
    assert history() == []


def test_a_change_without_its_token_is_refused(
    app: Celery, users: None, manager: RateLimitManager
) -> None:
    forged = client_of("ann", enforce_csrf_checks=True)
    assert change(forged, "pause").status_code == 403
    assert not manager.current_rates()["charge"].is_paused


# -- names from anywhere --------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_breaks_no_page_no_form_and_no_address(
    app: Celery, ann: Client, manager: RateLimitManager, name: str
) -> None:
    add_task(app, "hostile", RateLimitedTask, limits=[TokenBucket(name, "5/m")])

    listed = text_of(ann.get(LIST))
    [address] = {
        part.partition('"')[0]
        for part in listed.split('href="')
        if part.startswith(LIST + "TokenBucket.")
    } - {f"{CHARGE}change/", f"{LIST}TokenBucket.both/change/", f"{LIST}TokenBucket.fixed/change/"}
    page = text_of(ann.get(address))
    base = address.removesuffix("change/")

    for text in (listed, page):
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert not set(text) & {"\x00", "\x1b", "\u202e", "\ud800"}
    # A browser sends text, and Django refuses characters of code 0.
    typed = name.encode(errors="replace").decode().replace("\x00", "")
    assert change(ann, "set_rate", base, rate="2/m", key=typed).status_code == 302
    assert change(ann, "pause", base, reason=typed).status_code == 302
    assert manager.current_rates()[name].is_paused
    assert ann.get(f"{base}history/").status_code == 200
    assert "<script>alert" not in ann.get(address).content.decode()
    assert "<script>alert" not in ann.get("/admin/").content.decode()


def test_a_name_that_is_too_long_to_be_kept_says_so_and_can_still_be_frozen(
    app: Celery, ann: Client
) -> None:
    name = "long" * 2_000
    limit = TokenBucket(name, "5/m")
    add_task(app, "hostile", RateLimitedTask, limits=[limit])
    base = f"{LIST}{quote(page_id('TokenBucket', name))}/"

    text = text_of(ann.get(f"{base}change/"))
    assert "long" * 60 not in text
    refused = text_of(change(ann, "pause", base))
    assert "at most 200 characters" in refused
    assert history() == []

    assert change(ann, "freeze", base, seconds="60").status_code == 302
    assert runtime_of(app).limiter.inspect(limit)[0].frozen_seconds > 50


def test_texts_of_strangers_are_no_ids(ann: Client) -> None:
    for odd in ("x", "TokenBucket.gone", "TokenBucket.a%00b", "..", "%ff", "a" * 3_000):
        for page in ("change/", "history/"):
            found = ann.get(f"{LIST}{odd}/{page}", follow=True)
            assert found.status_code == 200
            text_of(found)
