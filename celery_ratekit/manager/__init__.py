"""Runtime control: rates, pauses and switches for the whole fleet, from any process with the app.

>>> from celery import Celery
>>> from celery_ratekit import DynamicRateLimitTask
>>> from celery_ratekit.embedded import EmbeddedRedis
>>> from celery_ratekit.manager import RateLimitManager
>>> with EmbeddedRedis() as server:
...     app = Celery("shop", broker=server.celery_url, set_as_current=False)
...     @app.task(base=DynamicRateLimitTask, default_rate_limit="100/m", name="bill")
...     def charge(): ...
...     manager = RateLimitManager(app)
...     _ = manager.adjust_rate("bill", "20/m", reason="the provider asked for it")
...     print(manager.current_rates()["bill"])
20/m
"""

from .manager import RateLimitManager
from .rates_now import CurrentRate, Override
from .results import Adjusted

__all__ = ["Adjusted", "CurrentRate", "Override", "RateLimitManager"]
