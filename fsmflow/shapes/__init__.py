"""What a type that a user declares says of a payload or of data: checked, made, and told as a JSON schema.

Imported when the first machine declares a type, as most declare none.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsmflow.shapes.fault import Fault as Fault
    from fsmflow.shapes.fault import Unfit as Unfit
    from fsmflow.shapes.raw import is_typed as is_typed
    from fsmflow.shapes.raw import plain as plain
    from fsmflow.shapes.shape import Shape as Shape
    from fsmflow.shapes.shape import shape_of as shape_of
else:
    _PLACES = {"Fault": "fault", "Unfit": "fault", "is_typed": "raw", "plain": "raw"}

    def __getattr__(name: str) -> Any:
        if name not in (*_PLACES, "Shape", "shape_of"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"{__name__}.{_PLACES.get(name, 'shape')}"), name)
        return found
