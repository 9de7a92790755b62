"""The ``manage.py`` of the tests' Django project."""

from __future__ import annotations

import sys

from django.core.management import execute_from_command_line
from end_to_end.apps import django_site

if __name__ == "__main__":
    assert django_site.app is not None  # A project's commands have its Celery app.
    execute_from_command_line(sys.argv)
