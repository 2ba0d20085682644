"""The tables of the first version."""

from __future__ import annotations

from django.db import migrations

from fsmflow.django.tables import Tables


class Migration(migrations.Migration):  # type: ignore[misc]
    """Outside of a transaction, as the tables are made over another connection."""

    initial = True
    atomic = False
    dependencies: tuple[tuple[str, str], ...] = ()
    operations = (Tables(1),)
