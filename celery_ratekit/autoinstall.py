"""Importing this module puts the gate into the workers of this process.

For apps that limit tasks by ``ratekit_rules`` alone, without touching their code:

    app.conf.imports = ("celery_ratekit.autoinstall",)
"""

from __future__ import annotations

from typing import Any

from celery.signals import worker_init

from .install import install

__all__: list[str] = []


def _install(sender: Any, **_: Any) -> None:
    install(sender.app)


worker_init.connect(_install, weak=False, dispatch_uid="celery_ratekit.autoinstall")
