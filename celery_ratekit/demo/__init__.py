"""The demo behind ``celery-ratekit demo``: real workers, a real Redis, and figures from both."""
