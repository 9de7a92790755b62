"""The admin's pages of rate limits: a list, and a page for each with buttons.

Who may see has the permission ``celery_ratekit.view_ratelimit``, who may change
``celery_ratekit.change_ratelimit``. Nothing is added or deleted here: limits live in code. With an
admin site of your own register `RateLimit` there with `RateLimitAdmin`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import current_app
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from ...errors import LimiterUnavailableError, RatekitError
from ...manager import RateLimitManager
from ...manager.board import read_board
from .admin_actions import Action, Doer, action_named
from .admin_ids import is_page_id, shown_text
from .admin_listed import Listed
from .admin_panels import groups_of, panels
from .admin_rows import Row
from .models import RateLimit

__all__ = ["RateLimitAdmin"]

SERVICE_UNAVAILABLE = 503

MOST_TOLD = 1_000
"""The most characters of an error on a page."""

NO_ANSWER = ": Redis gave no answer, so that it may count or not"

Extra = Mapping[str, Any] | None


@admin.register(RateLimit)
class RateLimitAdmin(admin.ModelAdmin):
    """The pages of the limits of one Celery app: see `celery_app`."""

    class Media:
        """What makes the pages readable."""

        css = {"all": ["celery_ratekit/admin.css"]}  # noqa: RUF012  # Django reads it from here.

    _manager: RateLimitManager | None = None

    @property
    def celery_app(self) -> Any:
        """The app whose limits are shown: the project's, which is Celery's current one."""
        return current_app._get_current_object()

    @property
    def manager(self) -> RateLimitManager:
        """What reads and changes them; kept, as it knows the limits of the app's tasks."""
        app = self.celery_app
        if self._manager is None or self._manager.app is not app:
            self._manager = RateLimitManager(app)
        return self._manager

    # -- who may what -----------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: limits are declared in code and in settings."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: RateLimit | None = None) -> bool:
        """Nobody."""
        return False

    # -- pages ------------------------------------------------------------------------------

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> RateLimit | None:
        """The limit as the history knows it, whether there still is one or not."""
        return RateLimit(id=object_id) if is_page_id(object_id) else None

    def changelist_view(self, request: HttpRequest, extra_context: Extra = None) -> HttpResponse:
        """All limits, and the backlog of each queue."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        try:
            board = read_board(self.manager)
        except RatekitError as error:
            return self._away(request, error)
        context = {
            "title": self.opts.verbose_name_plural.capitalize(),
            "cl": {"opts": self.opts},
            "listed": Listed(board, request.GET),
        }
        return self._page(request, "change_list", context, extra_context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Extra = None
    ) -> HttpResponse:
        """One limit; a POST changes it."""
        self._check_allowed(request)
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        try:
            row = self._row(unquote(object_id))
        except RatekitError as error:
            return self._away(request, error)
        if row is None:
            text = "Neither this project nor a live worker has the limit that was asked for."
            messages.warning(request, text)
            return HttpResponseRedirect(self._url("changelist"))
        if request.method == "POST":
            return self._posted(request, row, extra_context)
        return self._page_of(request, row, None, extra_context)

    def _check_allowed(self, request: HttpRequest) -> None:
        may_see = self.has_view_permission(request)
        if not may_see or (request.method == "POST" and not self.has_change_permission(request)):
            raise PermissionDenied

    def _row(self, page_id: str) -> Row | None:
        rows = map(Row, read_board(self.manager).limits)
        return next((row for row in rows if row.id == page_id), None)

    # -- changes ----------------------------------------------------------------------------

    def _posted(self, request: HttpRequest, row: Row, extra_context: Extra) -> HttpResponse:
        found = action_named(request.POST.get("action", ""), groups_of(row))
        if found is None:
            messages.error(request, "There is no such button; nothing was changed.")
            return HttpResponseRedirect(self._url("change", row))
        group, action = found
        form = action.form(request.POST, prefix=group.prefix)
        if form.is_valid():
            try:
                done = self._done(request, row, action, form.cleaned_data)
            except RatekitError as error:
                form.add_error(None, shown_text(str(error), MOST_TOLD))
            else:
                messages.success(request, done)
                return HttpResponseRedirect(self._url("change", row))
        return self._page_of(request, row, form, extra_context)

    def _done(
        self, request: HttpRequest, row: Row, action: Action, values: Mapping[str, Any]
    ) -> str:
        """Makes the change and tells of it in the history, where its entry has to stand first."""
        doer = Doer(self.manager, row.of, f"{request.user.get_username()} (Django admin)")
        lost = None
        with transaction.atomic(using=router.db_for_write(LogEntry)):
            entry = self.log_change(request, RateLimit(id=row.id), action.label)
            try:
                told = doer.do(action, values)
            except LimiterUnavailableError as error:  # Some of it may have been done by then.
                lost, told = error, doer.sentence(action, values, NO_ANSWER)
            entry.change_message = told
            entry.save(update_fields=["change_message"])
        if lost is not None:
            raise lost
        return told

    # -- answers ----------------------------------------------------------------------------

    def _page_of(
        self, request: HttpRequest, row: Row, sent: forms.Form | None, extra_context: Extra
    ) -> HttpResponse:
        may_change = self.has_change_permission(request)
        context = {
            "title": row.name,
            "original": RateLimit(id=row.id),
            "row": row,
            "panels": panels(row, sent) if may_change else [],
            "has_change_permission": may_change,
            "history_url": self._url("history", row),
        }
        return self._page(request, "change_form", context, extra_context)

    def _away(self, request: HttpRequest, error: RatekitError) -> HttpResponse:
        """A page that says why nothing can be shown."""
        context = {
            "title": "Rate limits cannot be shown",
            "cl": {"opts": self.opts},
            "error": shown_text(str(error), MOST_TOLD),
            "is_away": isinstance(error, LimiterUnavailableError),
        }
        return self._page(request, "away", context, None, status=SERVICE_UNAVAILABLE)

    def _page(
        self,
        request: HttpRequest,
        template: str,
        context: Mapping[str, Any],
        extra_context: Extra,
        status: int = 200,
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        path = f"admin/{self.opts.app_label}/{self.opts.model_name}/{template}.html"
        whole = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": forms.Media(self.Media),
            "has_view_permission": True,
            **context,
            **(extra_context or {}),
        }
        return TemplateResponse(request, path, whole, status=status)

    def _url(self, view: str, row: Row | None = None) -> str:
        arguments = [] if row is None else [quote(row.id)]
        url: str = reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}",
            args=arguments,
            current_app=self.admin_site.name,
        )
        return url
