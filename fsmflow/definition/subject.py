"""What guards and jobs of fsmflow's own ask of the object that they are called with. The floors above make it."""

from __future__ import annotations

from typing import Protocol, TypeVar


class GuardView(Protocol):
    """What a generated guard asks."""

    @property
    def next_undo(self) -> str | None:
        """The state in which the next step is undone, None where nothing is left to undo."""
        ...


View = TypeVar("View", covariant=True)


class Subject(Protocol[View]):
    """An object of a machine's class, which stands on a view."""

    @property
    def _view(self) -> View: ...
