"""Redis clients from the addresses that Celery and redis-py understand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import URL_QUERY_ARGUMENT_PARSERS
from redis.sentinel import Sentinel

from ..errors import BadRedisURLError

__all__ = ["ClusterAddress", "RedisClient", "address_from_url", "client_from_url"]

RedisClient: TypeAlias = "redis.Redis | RedisCluster"

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379
DEFAULT_MASTER_NAME = "mymaster"

FORMS = (
    "redis://, rediss:// (TLS), unix:// or redis+socket:// (unix socket), "
    "sentinel://host:port;sentinel://host:port/db?master_name=NAME, redis+cluster://"
)

ONLY_SENTINEL = ("master_name", "sentinel_kwargs", "min_other_sentinels")


@dataclass(frozen=True)
class ClusterAddress:
    """Where some nodes of a Redis Cluster are, and how to connect to any of its nodes.

    ``pool`` connects to one of them; its settings hold for the others. ``remap`` turns the address
    that the cluster tells of a node into the one that it is reached at.
    """

    nodes: tuple[tuple[str, int], ...]
    pool: Any
    remap: Callable[[tuple[str, int]], tuple[str, int]] | None = None

    @classmethod
    def of_client(cls, client: RedisCluster) -> ClusterAddress:
        """Where a redis-py client of a cluster connects."""
        manager = client.nodes_manager
        nodes = [*manager.nodes_cache.values(), *manager.startup_nodes.values()]
        pool = client.get_redis_connection(nodes[0]).connection_pool
        return cls(
            tuple(dict.fromkeys((node.host, int(node.port)) for node in nodes)),
            pool,
            manager.address_remap,
        )

    def remapped(self, host: str, port: int) -> tuple[str, int]:
        """The address at which a node is reached that the cluster tells of."""
        return (host, port) if self.remap is None else self.remap((host, port))

    def client(self) -> RedisCluster:
        """A redis-py client; it connects at once, and fails where no node answers."""
        skipped = ("host", "port", "db", "event_dispatcher", "himport_registry", "retry")
        settings = self.pool.connection_kwargs
        options = {name: settings[name] for name in settings if name not in skipped}
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in self.nodes],
            ssl=issubclass(self.pool.connection_class, redis.SSLConnection),
            **options,
        )


def client_from_url(url: str, **options: Any) -> RedisClient:
    """A redis-py client for ``url``; ``options`` go to it as keyword arguments.

    Reads what redis-py reads and what Celery adds to it: ``redis+socket://`` for a unix socket,
    ``sentinel://`` (several joined by ``;``, with the option ``master_name``, in the query or as
    keyword), and ``redis+cluster://`` or ``rediss+cluster://`` for a Redis Cluster (several
    ``host:port`` joined by commas). ``sentinels://`` is ``sentinel://`` with TLS, and options that
    begin with ``ssl_`` turn TLS on.

    Raises BadRedisURLError, which never shows a password, where it is none of them.
    """
    address = address_from_url(url, **options)
    return address.client() if isinstance(address, ClusterAddress) else address


def address_from_url(url: str, **options: Any) -> redis.Redis | ClusterAddress:
    """As `client_from_url`, without a client for a cluster, which would connect at once."""
    if not isinstance(url, str):
        raise BadRedisURLError(
            f"expected a Redis address of one of the forms {FORMS}; got a {type(url).__name__}"
        )
    scheme = url.partition("://")[0].lower()
    read = READERS.get(scheme)
    if read is None:
        raise BadRedisURLError(
            f"expected a Redis address of one of the forms {FORMS}; got one beginning with "
            f"{_shown_scheme(url)}"
        )
    try:
        if scheme not in ("sentinel", "sentinels"):
            options = {name: options[name] for name in options if name not in ONLY_SENTINEL}
        return read(url, options)
    except ValueError:
        pass  # Its text may hold a part of the password, so it is not even kept as a cause.
    raise BadRedisURLError(
        f"expected a Redis address of one of the forms {FORMS}; got one beginning with "
        f"{scheme!r} that cannot be read; write special characters of a password as %XX"
    )


def _shown_scheme(url: str) -> str:
    """How an address begins, if that part cannot be a password."""
    scheme, found, _ = url.partition("://")
    return repr(scheme[:20]) if found and "@" not in scheme else "no scheme"


def _server(url: str, options: dict[str, Any]) -> redis.Redis:
    """redis-py's own forms."""
    for name in ("none", "optional", "required"):
        url = url.replace(f"ssl_cert_reqs=CERT_{name.upper()}", f"ssl_cert_reqs={name}")
    scheme, rest = url.split("://", 1)
    if scheme.lower() == "redis" and _wants_tls(options):
        scheme = "rediss"
    parts = urlsplit(url)
    if scheme.lower() != "unix":
        # redis-py would take database 0, and a part of an unquoted password for the port.
        _ = parts.port, int(parts.path.strip("/") or 0)
    return redis.Redis.from_url(f"{scheme.lower()}://{rest}", **options)


def _unix_socket(url: str, options: dict[str, Any]) -> redis.Redis:
    """Celery's form of a unix socket's address."""
    parts = urlsplit(url)
    query = _query(parts)
    if "virtual_host" in query:
        query["db"] = query.pop("virtual_host").strip("/") or "0"
    pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return redis.Redis.from_url(f"unix://{parts.netloc}{parts.path}?{pairs}", **options)


def _sentinel(url: str, options: dict[str, Any]) -> redis.Redis:
    parts = [urlsplit(part) for part in url.split(";") if part]
    settings: dict[str, Any] = {}
    for part in parts:
        settings.update(_settings(part))
    settings.update(options)
    name = settings.pop("master_name", DEFAULT_MASTER_NAME)
    own = dict(settings.pop("sentinel_kwargs", None) or {})
    least = settings.pop("min_other_sentinels", 0)
    database = next((part.path.strip("/") for part in parts if part.path.strip("/")), "0")
    login = {
        "username": next((unquote(part.username) for part in parts if part.username), None),
        "password": next((unquote(part.password) for part in parts if part.password), None),
    }
    if any(part.scheme.lower() == "sentinels" for part in parts) or _wants_tls(settings):
        settings["ssl"] = True
        own.setdefault("ssl", True)
    times = {
        name: settings[name]
        for name in ("socket_timeout", "socket_connect_timeout")
        if name in settings
    }
    sentinel = Sentinel(
        [(part.hostname or "localhost", part.port or DEFAULT_SENTINEL_PORT) for part in parts],
        min_other_sentinels=int(least),
        sentinel_kwargs={**times, **own},
    )
    client: redis.Redis = sentinel.master_for(name, **{"db": int(database), **login, **settings})
    return client


def _cluster(url: str, options: dict[str, Any]) -> ClusterAddress:
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    nodes = []
    for one in hosts.replace(";", ",").split(","):
        # Each is read on its own: urlsplit knows of one host only, and of IPv6 in brackets.
        address = urlsplit(f"//{one}")
        nodes.append((address.hostname or "localhost", address.port or DEFAULT_PORT))
    if parts.path.strip("/") not in ("", "0"):
        raise ValueError("a cluster has no databases but 0")
    settings = {**_settings(parts), **options}
    client = redis.Redis(
        host=nodes[0][0],
        port=nodes[0][1],
        **{
            "username": unquote(username) or None,
            "password": unquote(password) or None,
            "ssl": parts.scheme.lower() == "rediss+cluster" or _wants_tls(settings),
            **settings,
        },
    )
    return ClusterAddress(tuple(nodes), client.connection_pool)


def _query(parts: SplitResult) -> dict[str, str]:
    return dict(parse_qsl(parts.query))


def _settings(parts: SplitResult) -> dict[str, Any]:
    """The query of an address as keyword arguments of a client, of the types that it wants."""
    settings: dict[str, Any] = {}
    for name, value in _query(parts).items():
        parser: Any = URL_QUERY_ARGUMENT_PARSERS.get(name)
        settings[name] = value if parser is None else parser(value)
    reqs = settings.get("ssl_cert_reqs")
    if isinstance(reqs, str):
        settings["ssl_cert_reqs"] = reqs.removeprefix("CERT_").lower()
    return settings


def _wants_tls(options: Mapping[str, Any]) -> bool:
    return any(name.startswith("ssl_") for name in options)


READERS: Mapping[str, Callable[[str, dict[str, Any]], redis.Redis | ClusterAddress]] = {
    "redis": _server,
    "rediss": _server,
    "unix": _server,
    "redis+socket": _unix_socket,
    "socket": _unix_socket,
    "sentinel": _sentinel,
    "sentinels": _sentinel,
    "redis+cluster": _cluster,
    "rediss+cluster": _cluster,
}
