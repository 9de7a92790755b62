"""Whatever address or redis-py client a limiter is made from, it asks in its own way."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from support.away import SLOW
from support.silent import SilentServer

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import BadOptionError, LimiterUnavailableError
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, FixedWindow, Limit, SlidingWindow, TokenBucket

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def tcp(redis_executable: str) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tcp=True, executable=redis_executable) as server:
        yield server


LIMITS: list[Limit] = [
    TokenBucket("stripe", "1/d", burst=2),
    SlidingWindow("stripe", "2/d", key="ü\n"),
    FixedWindow("stripe", "2/d"),
    Concurrency("stripe", 2),
]


def check(limiter: Limiter) -> None:
    """A limiter that works grants twice, and no third time."""
    for limit in LIMITS:
        limiter.reset(limit)
    assert [limiter.acquire(LIMITS).granted for _ in range(3)] == [True, True, False]
    decision = limiter.reserve(LIMITS[0], 3)
    assert (len(decision), decision.blocked_by) == (0, LIMITS[0])
    for limit in LIMITS:
        assert limiter.inspect(limit)[0].available == pytest.approx(0, abs=0.01)
    limiter.close()


UNIX_FORMS: dict[str, Callable[[EmbeddedRedis], str]] = {
    "unix": lambda server: server.url,
    "database": lambda server: server.url_for(3),
    "redis+socket": lambda server: server.celery_url_for(2),
    "socket": lambda server: server.celery_url.removeprefix("redis+"),
    "virtual host with a slash": lambda server: server.celery_url.replace("=0", "=/4"),
}


@pytest.mark.parametrize("form", UNIX_FORMS)
def test_addresses_of_a_unix_socket(form: str, redis_server: EmbeddedRedis) -> None:
    check(Limiter(UNIX_FORMS[form](redis_server), namespace="clients"))


def test_an_address_names_its_database(redis_server: EmbeddedRedis) -> None:
    for url in (redis_server.url_for(5), redis_server.celery_url_for(5)):
        limiter = Limiter(url, namespace=url.partition(":")[0])
        limiter.acquire(SLOW)
        with redis.Redis.from_url(redis_server.url_for(5)) as client:
            assert client.exists(limiter.keys.state(SLOW)) == 1
        limiter.close()


def test_addresses_of_a_port(tcp: EmbeddedRedis) -> None:
    check(Limiter(tcp.url))
    check(Limiter(tcp.url.replace("redis://:", "redis://default:")))
    check(Limiter(tcp.url.replace("redis://", "REDIS://")))


CLIENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "that decodes": {"decode_responses": True},
    "that speaks RESP3": {"protocol": 3},
    "that decodes RESP3": {"protocol": 3, "decode_responses": True},
    "that checks health": {"health_check_interval": 1},
    "with a name": {"client_name": "mine"},
    "with few connections": {"max_connections": 1},
    "with another encoding": {"encoding": "latin-1"},
    "that repeats": {"retry": Retry(ConstantBackoff(1), 10), "retry_on_timeout": True},
}


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("transport", ["tcp", "redis_server"])
def test_a_client(kind: str, transport: str, request: pytest.FixtureRequest) -> None:
    server: EmbeddedRedis = request.getfixturevalue(transport)
    with server.client(**CLIENTS[kind]) as client:
        check(Limiter(client))
        assert client.ping()


def test_a_client_with_a_blocking_pool(tcp: EmbeddedRedis) -> None:
    pool = redis.BlockingConnectionPool.from_url(tcp.url, timeout=1, max_connections=1)
    check(Limiter(redis.Redis(connection_pool=pool)))


def test_a_client_with_one_connection(tcp: EmbeddedRedis) -> None:
    with tcp.client(single_connection_client=True) as client:
        check(Limiter(client))


def test_credentials_that_change_are_asked_for_each_connection(tcp: EmbeddedRedis) -> None:
    class Credentials(redis.CredentialProvider):
        asked = 0

        def get_credentials(self) -> tuple[str]:
            self.asked += 1
            return (tcp.password,)

    credentials = Credentials()
    client = redis.Redis(port=tcp.port, credential_provider=credentials)
    check(Limiter(client))
    assert credentials.asked == 1


REPEATING: list[dict[str, Any]] = [
    {},
    {"retry": Retry(ConstantBackoff(0.01), 10)},
    {"retry": Retry(ConstantBackoff(0.01), 10), "retry_on_timeout": True},
    {"retry_on_error": [redis.ConnectionError, redis.TimeoutError]},
]


@pytest.mark.parametrize("options", REPEATING)
def test_a_limiter_tries_once_where_its_client_would_repeat(options: dict[str, Any]) -> None:
    silent = SilentServer()
    client = redis.Redis.from_url(silent.url, **options)
    limiter = Limiter(client, timeout_seconds=0.1)

    with pytest.raises(LimiterUnavailableError):
        limiter.acquire(SLOW)

    assert silent.connections == 1
    silent.close()


def test_an_address_with_times_of_its_own_does_not_change_the_limiters() -> None:
    silent = SilentServer()
    limiter = Limiter(f"{silent.url}?socket_timeout=60&retry_on_timeout=yes", timeout_seconds=0.1)

    with pytest.raises(LimiterUnavailableError):
        limiter.acquire(SLOW)

    assert silent.connections == 1
    silent.close()


@pytest.mark.parametrize("thing", [None, 5, object(), b"redis://localhost"])
def test_what_is_no_redis_is_refused(thing: Any) -> None:
    with pytest.raises(BadOptionError, match="expected a Redis address or a client"):
        Limiter(thing)


def test_an_asynchronous_client_is_refused() -> None:
    from redis.asyncio import Redis

    client: Any = Redis()
    with pytest.raises(BadOptionError, match="not asyncio"):
        Limiter(client)


@pytest.fixture(scope="module")
def tls(tcp: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """The TLS port of a server, and the file of the authority that vouches for it."""
    from support.certificates import make_certificates

    files = make_certificates(tmp_path_factory.mktemp("tls"))
    from celery_ratekit.embedded.ports import free_port

    with tcp.client() as client:
        try:
            client.config_set("tls-cert-file", str(files.certificate))
            client.config_set("tls-key-file", str(files.key))
            client.config_set("tls-ca-cert-file", str(files.authority))
            client.config_set("tls-auth-clients", "no")
            port = free_port()
            client.config_set("tls-port", port)
        except redis.ResponseError as error:
            pytest.skip(f"this redis-server speaks no TLS: {error}")
        yield port, str(files.authority)
        client.config_set("tls-port", 0)


def test_an_address_with_tls(tls: tuple[int, str], tcp: EmbeddedRedis) -> None:
    port, authority = tls
    url = f"rediss://:{tcp.password}@127.0.0.1:{port}/0"

    check(Limiter(f"{url}?ssl_ca_certs={authority}"))
    check(Limiter(url, redis_options={"ssl_ca_certs": authority}))
    check(Limiter(f"{url}?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={authority}"))
    # What Celery's broker_use_ssl gives, beside an address that does not say so.
    options = {"ssl_ca_certs": authority, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    check(Limiter(url.replace("rediss", "redis"), redis_options=options))


def test_a_client_with_tls(tls: tuple[int, str], tcp: EmbeddedRedis) -> None:
    port, authority = tls
    client = redis.Redis(port=port, password=tcp.password, ssl=True, ssl_ca_certs=authority)
    check(Limiter(client))


def test_a_server_that_nobody_vouches_for_is_not_asked(
    tls: tuple[int, str], tcp: EmbeddedRedis
) -> None:
    limiter = Limiter(f"rediss://:{tcp.password}@127.0.0.1:{tls[0]}/0")

    with pytest.raises(LimiterUnavailableError, match=r"(?i)certificate") as caught:
        limiter.acquire(SLOW)

    assert not caught.value.maybe_charged
    assert tcp.password not in str(caught.value)


def test_a_client_on_redis_62(redis62_server: EmbeddedRedis) -> None:
    with redis62_server.client(decode_responses=True, protocol=3) as client:
        check(Limiter(client))
