"""The Celery app of a throttle: the user's, or one of its own."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from celery import Celery

from ..errors import BadOptionError
from ..install import install
from .config import CeleryThrottleConfig

__all__ = ["make_app", "prepare_app", "url_of_client"]

OWN_OF_REDIS = ("redis://", "rediss://", "redis+socket://", "sentinel://")


def make_app(config: CeleryThrottleConfig, redis_url: str | None) -> Any:
    """An app with what the configuration says; its limits stand under the prefix."""
    url = redis_url or config.redis.url
    settings = config.celery.settings()
    broker = settings.setdefault("broker_url", _celerys(url))
    if broker.startswith(OWN_OF_REDIS):
        settings.setdefault("result_backend", broker)
    app = Celery(config.app_name, set_as_current=False)
    app.conf.update(
        ratekit_redis_url=url,
        ratekit_namespace=config.queue_prefix,
        broker_connection_retry_on_startup=True,
        **settings,
    )
    prepare_app(app, None)
    return app


def prepare_app(app: Any, redis_url: str | None) -> None:
    """Has an app's workers pass tasks through the gate.

    Raises BadOptionError where the app keeps its limits in another Redis than ``redis_url``.
    """
    if redis_url is not None:
        known = app.conf.get("ratekit_redis_url")
        if known not in (None, redis_url):
            raise BadOptionError(
                "expected one Redis for the app's limits and its throttled queues, got "
                "ratekit_redis_url of the app and another one for the throttle; leave out one"
            )
        app.conf.ratekit_redis_url = redis_url
    install(app)


def url_of_client(client: Any) -> str:
    """The address that a redis-py client is connected to; raises BadOptionError for a cluster's."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        raise BadOptionError(
            f"expected a redis.Redis as redis_client, got {type(client).__name__!r:.60}; give the "
            "address of a cluster as ratekit_redis_url of the app"
        )
    options = pool.connection_kwargs
    login = _login(options)
    database = options.get("db") or 0
    if "path" in options:
        return f"unix://{login}{quote(options['path'])}?db={database}"
    is_tls = "ssl" in pool.connection_class.__name__.lower()
    host, port = options.get("host", "localhost"), options.get("port", 6_379)
    return f"{'rediss' if is_tls else 'redis'}://{login}{host}:{port}/{database}"


def _login(options: dict[str, Any]) -> str:
    password = options.get("password")
    if not password:
        return ""
    return f"{quote(options.get('username') or '', safe='')}:{quote(str(password), safe='')}@"


def _celerys(url: str) -> str:
    """The same address as Celery's transport writes it."""
    if not url.startswith("unix://"):
        return url
    path, _, database = url.removeprefix("unix://").partition("?db=")
    return f"redis+socket://{path}?virtual_host={database or 0}"
