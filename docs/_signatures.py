"""Shows the pages of the reference which of our classes are dataclasses, so that these have their signatures there."""

from __future__ import annotations

from typing import Any

from griffe import Alias, Extension


class Signatures(Extension):
    """griffe knows a dataclass by the name of the decorator alone, and ours is written by the one of the library."""

    def on_alias_instance(self, *, alias: Alias, **_: Any) -> None:
        """Called for each import."""
        if alias.target_path == "fsmflow.values.dataclass":
            alias.target_path = "dataclasses.dataclass"
