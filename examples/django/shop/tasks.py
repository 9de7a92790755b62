"""Tasks that call the partner."""

import time

from celery import shared_task

from celery_ratekit.contrib.django.decorators import rate_limit


@shared_task
@rate_limit("partner")
def place_order(number: int) -> float:
    """Calls the partner, when it is this call's turn; the moment, in seconds since 1970."""
    return time.time()


@shared_task(bind=True)
@rate_limit("partner", retry_backoff=20)
def ask_again_later(self, number: int) -> float:
    """The same for a task that asks every twenty seconds whether it may."""
    return time.time()


@shared_task
def send_mail(number: int) -> float:
    """A task without a limit, which those that wait do not delay."""
    return time.time()
