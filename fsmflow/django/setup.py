"""Imported first in a worker process: the apps are loaded, and ``settings.FSMFLOW`` holds, before any machine is looked
for."""

from __future__ import annotations

import django

django.setup()
