"""The app."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db.models.signals import post_migrate

from fsmflow.django.carrier import keep_from_first_save
from fsmflow.django.host import LABEL
from fsmflow.django.settings import NAME, configure
from fsmflow.django.tables import let_go_in_the_end, note_migrated
from fsmflow.errors import ConfigurationError


class FsmflowConfig(AppConfig):  # type: ignore[misc]
    """``"fsmflow.django"`` in INSTALLED_APPS."""

    name = "fsmflow.django"
    label = LABEL
    verbose_name = "fsmflow"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Raises ImproperlyConfigured for settings that mean nothing."""
        _configure()
        import_module("fsmflow.django.checks")
        let_go_in_the_end()
        keep_from_first_save()
        setting_changed.connect(_note_change)
        post_migrate.connect(note_migrated, sender=self)


def _configure() -> None:
    try:
        configure()
    except ConfigurationError as error:
        raise ImproperlyConfigured(str(error)) from error


def _note_change(*, setting: str, **_: Any) -> None:
    """``override_settings`` of a test, and its end: that may have installed the app, too."""
    if apps.is_installed("fsmflow.django") and setting in (NAME, "INSTALLED_APPS", "TASKS"):
        _configure()
