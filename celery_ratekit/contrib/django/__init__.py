"""Rate limits in a Django project.

`TokenBucket` describes a bucket in the settings, `decorators.rate_limit` has tasks take from it;
``INSTALLED_APPS += ["celery_ratekit.contrib.django"]`` does the rest.
"""

from .token_bucket import TokenBucket

__all__ = ["TokenBucket"]
