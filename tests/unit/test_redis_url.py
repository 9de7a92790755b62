"""Each form of address gives the client it describes; a bad one is refused without its secret."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
import redis
from redis.sentinel import SentinelConnectionPool

from celery_ratekit.errors import BadRedisURLError
from celery_ratekit.limiter import Limiter
from celery_ratekit.limiter.redis_url import ClusterAddress, address_from_url, client_from_url

SECRET = "s3cret"


def pool_of(url: str, **options: Any) -> Any:
    address = address_from_url(url, **options)
    return address.pool if isinstance(address, ClusterAddress) else address.connection_pool


def settings_of(url: str, **options: Any) -> dict[str, Any]:
    settings: dict[str, Any] = pool_of(url, **options).connection_kwargs
    return settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", {}),
        ("redis://h", {"host": "h"}),
        ("redis://h:7/3", {"host": "h", "port": 7, "db": 3}),
        ("redis://:p%40w@h", {"host": "h", "password": "p@w"}),
        ("redis://me:pw@h", {"username": "me", "password": "pw"}),
        ("redis://[::1]:7/0", {"host": "::1", "port": 7}),
        ("REDIS://h/1", {"host": "h", "db": 1}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
        ("redis+socket:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("redis+socket:///run/redis.sock?virtual_host=2", {"path": "/run/redis.sock", "db": 2}),
        ("redis+socket:///run/redis.sock?virtual_host=/2", {"db": 2}),
        ("socket:///run/a%20b.sock?virtual_host=1", {"path": "/run/a b.sock", "db": 1}),
        ("redis+socket://:pw@/run/redis.sock", {"password": "pw"}),
        ("rediss://h:7/1", {"host": "h", "port": 7, "db": 1}),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none"}),
        ("rediss://h?ssl_cert_reqs=required", {"ssl_cert_reqs": "required"}),
    ],
)
def test_an_address_of_one_server(url: str, expected: dict[str, Any]) -> None:
    settings = settings_of(url)

    assert {name: settings[name] for name in expected} == expected


def uses_tls(url: str, **options: Any) -> bool:
    return issubclass(pool_of(url, **options).connection_class, redis.SSLConnection)


def test_tls_is_used_where_the_address_or_an_option_says_so() -> None:
    assert uses_tls("rediss://h")
    assert uses_tls("redis://h", ssl_ca_certs="/ca.pem")
    assert uses_tls("sentinels://h")
    assert uses_tls("sentinel://h", ssl_ca_certs="/ca.pem")
    assert uses_tls("rediss+cluster://h")
    assert uses_tls("redis+cluster://h", ssl_ca_certs="/ca.pem")
    assert not any(map(uses_tls, ("redis://h", "sentinel://h", "redis+cluster://h", "unix:///s")))


def sentinel_pool(url: str, **options: Any) -> SentinelConnectionPool:
    pool = pool_of(url, **options)
    assert isinstance(pool, SentinelConnectionPool)
    return pool


def test_an_address_of_sentinels() -> None:
    pool = sentinel_pool(
        "sentinel://:p%40w@h1:1;sentinel://:p%40w@h2/4?master_name=primary&socket_keepalive=yes",
        sentinel_kwargs={"password": "other"},
        socket_timeout=0.5,
    )

    assert pool.service_name == "primary"
    assert pool.connection_kwargs["db"] == 4
    assert pool.connection_kwargs["password"] == "p@w"
    assert pool.connection_kwargs["socket_keepalive"] is True
    assert pool.connection_kwargs["socket_timeout"] == 0.5
    sentinels = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in sentinels] == [("h1", 1), ("h2", 26379)]
    assert [one["password"] for one in sentinels] == ["other", "other"]
    assert [one["socket_timeout"] for one in sentinels] == [0.5, 0.5]


def test_the_masters_name_may_be_an_option_and_has_a_default() -> None:
    assert sentinel_pool("sentinel://h").service_name == "mymaster"
    assert sentinel_pool("sentinel://h", master_name="other").service_name == "other"
    assert sentinel_pool("sentinel://me:pw@h").connection_kwargs["username"] == "me"


def test_options_for_sentinels_do_no_harm_elsewhere() -> None:
    options = {"master_name": "primary", "sentinel_kwargs": {"password": "x"}}
    for url in ("redis://h", "unix:///s", "redis+socket:///s", "redis+cluster://h"):
        settings = settings_of(url, **options)
        assert not options.keys() & settings.keys()


def test_an_address_of_a_cluster() -> None:
    address = address_from_url(
        "rediss+cluster://me:p%3Bw@h1:1,h2,[::1]:3?ssl_cert_reqs=CERT_NONE&socket_keepalive=no"
    )

    assert isinstance(address, ClusterAddress)
    assert address.nodes == (("h1", 1), ("h2", 6379), ("::1", 3))
    settings = address.pool.connection_kwargs
    assert (settings["username"], settings["password"]) == ("me", "p;w")
    assert settings["ssl_cert_reqs"] == "none"
    assert settings["socket_keepalive"] is False


def test_several_nodes_may_be_joined_by_semicolons() -> None:
    address = address_from_url("redis+cluster://:p@h1:1;h2:2/0")

    assert isinstance(address, ClusterAddress)
    assert address.nodes == (("h1", 1), ("h2", 2))


def test_a_limiter_of_a_cluster_connects_to_nothing_when_it_is_made() -> None:
    Limiter("redis+cluster://127.0.0.1:1")


BAD = [
    "",
    SECRET,
    f":{SECRET}@localhost",
    f"localhost:{SECRET}",
    f"redis:/{SECRET}@h",
    f"http://:{SECRET}@h",
    f"amqp://me:{SECRET}@h//",
    f"me:{SECRET}@http://h",
    f"redis://:{SECRET}/x@h:6379/0",  # not quoted: reads as the port
    f"redis://:{SECRET}@h:port",
    f"redis://:{SECRET}@h:6379/zero",
    f"redis://:{SECRET}@h:99999",
    f"redis://:{SECRET}@[::1",
    f"redis://:{SECRET}@h?db=zero",
    f"redis://:{SECRET}@h?socket_timeout=soon",
    f"rediss://:{SECRET}@h:port",
    f"unix://:{SECRET}@/s?db=zero",
    f"redis+socket://:{SECRET}@/s?virtual_host=zero",
    f"sentinel://:{SECRET}@h:port",
    f"sentinel://:{SECRET}@h/zero",
    f"sentinel://:{SECRET}/x@h",
    f"redis+cluster://:{SECRET}@h:port",
    f"redis+cluster://:{SECRET}/x@h",
    f"redis+cluster://:{SECRET}@h/3",
]


@pytest.mark.parametrize("url", BAD)
@pytest.mark.parametrize("make", [client_from_url, Limiter])
def test_a_bad_address_is_refused_without_its_password(make: Any, url: str) -> None:
    with pytest.raises(BadRedisURLError) as caught:
        make(url)

    assert "expected a Redis address of one of the forms redis://" in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value, limit=0, chain=True))
    assert SECRET not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_something_else_than_a_text_is_refused() -> None:
    url: Any = 5
    with pytest.raises(BadRedisURLError, match="int"):
        client_from_url(url)
