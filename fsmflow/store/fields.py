"""Fields of tables that one kind of database alone has."""

from __future__ import annotations

from peewee import BigIntegerField, TextField


class SerialField(BigIntegerField):
    """It is no key, as that would keep a table from being divided by another column."""

    field_type = "BIGSERIAL"

    def __init__(self) -> None:
        super().__init__(index=True)


class LongTextField(TextField):
    field_type = "LONGTEXT"
