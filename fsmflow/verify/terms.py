"""Whether what entities are found by is what their data hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from fsmflow.verify.report import Findings
from fsmflow.verify.rows import Entity

_NOTHING: Final = object()
_TURNED: Final = str.maketrans("0123456789", "9876543210")
_EXPONENT: Final = 5_000
#: What is longer is cut, and only its beginning is read back.
_WHOLE: Final = 190
_BEGINNING: Final = 140
_DIGITS: Final = 100


def check_terms(entity: Entity, fields: Mapping[str, str], terms: Mapping[str, str], findings: Findings) -> None:
    """Check one entity. ``fields``: by the name in the table, what its machine is searched by and is all in."""
    if entity.branch_of is not None:
        fields = {}
    try:
        data = json.loads(entity.data)
    except ValueError:
        return  # told of elsewhere
    for name, field in fields.items():
        value, term = _at(data, field), terms.get(name)
        try:
            said = _is_said(value, term)
        except (ValueError, ArithmeticError):
            said = False  # no such value has a term like this
        if not said:
            what = "nothing" if term is None else repr(term[1:])
            findings.add("term-true", entity.address, f"it is found by {what} in {field!r}, and its data say otherwise")


def _at(data: Any, field: str) -> Any:
    if isinstance(data, dict) and field in data:
        return data[field]
    for part in field.split("."):
        if not isinstance(data, dict) or part not in data:
            return _NOTHING
        data = data[part]
    return data


def _is_said(value: Any, term: str | None) -> bool:
    """Whether a term is that of a value as JSON has it."""
    tag = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else ""
    if value is _NOTHING or isinstance(value, list) or (isinstance(value, dict) and tag not in _READ):
        return term is None
    if term is None:
        return False
    if isinstance(value, dict):
        return _READ[tag](value[tag], term)
    if value is None or isinstance(value, bool):
        return term == ("0" if value is None else f"1{int(value)}")
    return _is_text(value, term) if isinstance(value, str) else _is_number(str(value), term)


def _is_text(text: str, term: str) -> bool:
    told, plain = term[1:], text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
    same = told == plain if len(plain) <= _WHOLE else told.startswith(f"{plain[:_BEGINNING]}~")
    return term[:1] == "7" and same


def _is_number(text: str, term: str) -> bool:
    wanted = Decimal(text)
    if term == "2o":
        return wanted == 0
    negative = term[:2] == "2n"
    written = term[2:].rstrip("~").translate(_TURNED) if negative else term[2:]
    digits = "".join(map(str, wanted.as_tuple().digits)).lstrip("0")
    alike = digits[:_DIGITS].rstrip("0") == written[4:] and negative == (wanted < 0)
    return alike and term[:1] == "2" and min(max(wanted.adjusted() + _EXPONENT, 0), 9_999) == int(written[:4])


def _is_moment(text: str, term: str) -> bool:
    wanted, told = datetime.fromisoformat(text), datetime.fromisoformat(term[1:])
    if wanted.utcoffset() is None:
        return term[:1] == "4" and wanted == told
    near = wanted.year in (1, 9999)
    return term[:1] == "5" and (near or wanted == told.replace(tzinfo=UTC))


def _is_day(text: str, term: str) -> bool:
    return term[:1] == "3" and date.fromisoformat(text) == date.fromisoformat(term[1:])


def _is_uuid(text: str, term: str) -> bool:
    return term == f"6{text}"


_READ: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "$decimal": _is_number,
    "$datetime": _is_moment,
    "$date": _is_day,
    "$uuid": _is_uuid,
}
