"""Classes that say which fields they have: dataclasses and TypedDicts, and models of pydantic and msgspec."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from fsmflow.errors import did_you_mean, shown, text_of
from fsmflow.shapes.fault import Fault, Place
from fsmflow.shapes.node import PLACE, Definitions, Node, Schema
from fsmflow.shapes.raw import STORED, library_of, plain, stored_key
from fsmflow.values import dataclass

#: Where msgspec says that it is: ``$.lines[2].amount``.
_AT: Final = re.compile(r" - at `\$(.*)`$")
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


def unknown(key: object, known: Mapping[str, Any], place: Place) -> Fault:
    """That there is no such field."""
    hint = did_you_mean(key, known) or (f"; there are {', '.join(known)}" if known else "; it has no fields")
    return Fault((*place, str(key)), f"there is no such field{hint}")


@dataclass(kw_only=True)
class Part:
    """One field of a class. ``default``: makes the stored value where none is given; None where one has to be, unless
    it is ``optional``, and simply not there."""

    node: Node
    default: Callable[[], Any] | None = None
    optional: bool = False


class Record:
    """A dataclass or a TypedDict."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.is_class = dataclasses.is_dataclass(kind)
        self.parts: dict[str, Part] = {}
        self._asked = False

    @property
    def name(self) -> str:
        """As Node says."""
        return str(self.kind.__name__)

    @property
    def makes(self) -> bool:
        """As Node says. One that holds itself does what its other parts do."""
        if self.is_class or self._asked:
            return self.is_class
        self._asked = True
        try:
            return any(part.node.makes for part in self.parts.values())
        finally:
            self._asked = False

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields."""
        return tuple(self.parts)

    def check(self, value: Any, place: Place, faults: list[Fault]) -> Any:
        """As Node says."""
        if self.is_class and isinstance(value, self.kind):
            value = {name: getattr(value, name) for name in self.parts}
        if not isinstance(value, Mapping):
            faults.append(Fault(place, f"{shown(value)} is no {self.name}"))
            return value
        before = len(faults)
        found = self._found(value, place, faults)
        for key in [key for key in value if key not in self.parts]:
            faults.append(unknown(key, self.parts, place))
            found[key] = plain(value[key])
        if len(faults) == before and hasattr(self.kind, "__post_init__"):
            self._made(found, place, faults)
        return found

    def _found(self, value: Mapping[Any, Any], place: Place, faults: list[Fault]) -> dict[Any, Any]:
        found = {}
        for name, part in self.parts.items():
            if name in value:
                found[name] = part.node.check(value[name], (*place, name), faults)
            elif part.default is not None:
                found[name] = part.default()
            elif not part.optional:
                faults.append(Fault((*place, name), f"it is missing; it takes {part.node.name}"))
        return found

    def _made(self, found: Any, place: Place, faults: list[Fault]) -> None:
        """Have the class of the user look at it."""
        try:
            self.make(found)
        except Exception as error:  # noqa: BLE001 - code of the user, told in words
            faults.append(_complaint(error, place))

    def make(self, stored: Any) -> Any:
        """As Node says."""
        made = {name: self.parts[name].node.make(value) for name, value in stored.items() if name in self.parts}
        return self.kind(**made) if self.is_class else made

    def schema(self, named: Definitions) -> Schema:
        """As Node says."""
        place = named.place_of(self.kind)
        if place is None:
            told: Schema = {"type": "object", "title": self.name, "additionalProperties": False}
            place = named.add(self.kind, told)
            told["properties"] = properties = {}
            for name, part in self.parts.items():
                properties[name] = part.node.schema(named)
                if part.default is not None and (default := part.default()) is not None and _is_json(default):
                    properties[name] = {**properties[name], "default": default}
            told["required"] = [n for n, part in self.parts.items() if part.default is None and not part.optional]
        return {"$ref": place}


class _Model:
    """A model of a library, which checks and makes it. What it has not declared is refused unless it asks for that."""

    makes = True

    def __init__(self, kind: Any) -> None:
        self.kind, self.name = kind, kind.__name__
        self.library: Any = sys.modules[library_of(kind) or ""]

    def _refused(self, value: Any, place: Place, known: Mapping[str, Any]) -> list[Fault]:
        if not isinstance(value, Mapping):
            return [Fault(place, f"{shown(value)} is no {self.name}")]
        return [unknown(key, known, place) for key in value if key not in known]


class PydanticModel(_Model):
    """A BaseModel of pydantic."""

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The names of its fields, as they are stored; None where it takes others too."""
        if self.kind.model_config.get("extra") == "allow":
            return None
        return tuple(stored_key(name, each) or name for name, each in self.kind.model_fields.items())

    def check(self, value: Any, place: Place, faults: list[Fault]) -> Any:
        """As Node says."""
        given = plain(value)
        known = dict(self.kind.model_fields)
        for each in self.kind.model_fields.values():
            read = getattr(each.validation_alias, "choices", [each.validation_alias])
            known |= {key: each for key in read if isinstance(key, str)}
        refused = [] if self.kind.model_config.get("extra") == "allow" else self._refused(given, place, known)
        faults += refused
        try:
            return plain(self.make(given))
        except self.library.ValidationError as error:
            for each in error.errors(include_url=False, include_context=False):
                at = (*place, *each["loc"])
                if each["type"] != "extra_forbidden" or not refused:
                    says = each["msg"] if each["type"] == "missing" else f"{shown(each['input'])}: {each['msg']}"
                    faults.append(Fault(at, says))
        except Exception as error:  # noqa: BLE001 - a validator of the user's, told in words
            faults.append(_complaint(error, place))
        return given

    def make(self, stored: Any) -> Any:
        """As Node says."""
        return self.kind.model_validate(stored)

    def schema(self, named: Definitions) -> Schema:
        """As Node says."""
        if (place := named.place_of(self.kind)) is not None:
            return {"$ref": place}
        told = self.kind.model_json_schema(ref_template=f"{PLACE}{{model}}")
        schemas = told.pop("$defs", {})
        own = told.get("$ref", self.name).removeprefix(PLACE)
        if "$ref" not in told:  # one that holds itself is among the others already
            own = own if own not in schemas else f"{own}_own"
            schemas[own] = told
        return {"$ref": named.add_all(self.kind, own, schemas)}


class MsgspecStruct(_Model):
    """A Struct of msgspec."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields, as they are stored."""
        return tuple(self.kind.__struct_encode_fields__)

    def check(self, value: Any, place: Place, faults: list[Fault]) -> Any:
        """As Node says."""
        given = plain(value)
        known = {each.encode_name: each for each in self.library.structs.fields(self.kind)}
        tag = getattr(self.kind.__struct_config__, "tag_field", None)
        faults += self._refused(given, place, {**known, **({tag: None} if tag else {})})
        try:
            return plain(self.make(given))
        except self.library.ValidationError as error:
            text, at = text_of(error), _AT.search(text_of(error))
            steps = _STEP.findall(at[1]) if at else []
            inner = tuple(int(number) if number else name for name, number in steps)
            faults.append(Fault((*place, *inner), _AT.sub("", text)))
        except Exception as error:  # noqa: BLE001 - code of the user, told in words
            faults.append(_complaint(error, place))
        return given

    def make(self, stored: Any) -> Any:
        """As Node says."""
        return self.library.convert(stored, self.kind, builtin_types=STORED)

    def schema(self, named: Definitions) -> Schema:
        """As Node says."""
        if (place := named.place_of(self.kind)) is not None:
            return {"$ref": place}
        (told,), schemas = self.library.json.schema_components([self.kind], ref_template=f"{PLACE}{{name}}")
        return {"$ref": named.add_all(self.kind, told["$ref"].removeprefix(PLACE), schemas)}


def _complaint(error: Exception, place: Place) -> Fault:
    """What a class of the user's says against a value; the kind of the error too, where that is no usual one."""
    text = text_of(error)
    return Fault(place, text if isinstance(error, (ValueError, TypeError)) else f"{type(error).__name__}: {text}")


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, (str, int, float, bool))
