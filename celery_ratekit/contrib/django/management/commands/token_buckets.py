"""``manage.py token_buckets``."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from celery_ratekit.contrib.django.bucket_states import BucketState, states
from celery_ratekit.errors import BadOptionError

__all__ = ["Command"]


class Command(BaseCommand):
    """Shows what each token bucket holds."""

    help = "Shows how many tokens each bucket of CELERY_TOKEN_BUCKETS holds."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object for each line")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = states()
        except BadOptionError as error:
            raise CommandError(str(error)) from error
        if not found and not options["json"]:
            self.stdout.write("CELERY_TOKEN_BUCKETS has no buckets.")
        for state in found:
            text = json.dumps(state.as_dict()) if options["json"] else _line(state)
            self.stdout.write(text)
        if any(state.problem for state in found):
            raise CommandError("not every bucket could be asked; see above")


def _line(state: BucketState) -> str:
    if state.problem:
        return f"{state.name}: unknown ({state.problem})"
    parts = [
        f"{state.tokens:g} of {state.maximum:g} tokens",
        f"{state.amount:g} more at {state.next_refill:%Y-%m-%d %H:%M:%S %Z}",
        "in a queue" if state.backend == "queue" else "in Redis",
    ]
    if state.held_up:
        parts.append(state.held_up)
    return f"{state.name}: {', '.join(parts)}"
