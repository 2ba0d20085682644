from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from mysite.workflows import workflows


class Site(admin.AdminSite):
    """The administration, with the workflows in its list, for whoever may see them."""

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        found = super().get_app_list(request, app_label)
        return found if app_label else [*found, *workflows.app_list(request)]
