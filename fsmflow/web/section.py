"""``Section``: a part of the web, with its pages and its place in the navigation."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import Route

from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Section:
    """``path``: its first page. Its pages begin with that; those of ``also`` too count as being there."""

    title: str
    path: str
    routes: Sequence[Route]
    also: tuple[str, ...] = ()

    def is_here(self, path: str) -> bool:
        """Whether a page belongs to it."""
        if self.path == "/":
            return path == "/"
        return any(path == each or path.startswith(f"{each}/") for each in (self.path, *self.also))
