"""How an address stands in a path: ``order/7``, and ``order/7/packing/3`` for a branch, with or without ``%2F``."""

from __future__ import annotations

from starlette.convertors import PathConvertor, register_url_convertor


class _Ids(PathConvertor):
    """The id of an entity, and behind it pairs of a step and the part of it, so that what follows is nothing else. That
    of a child begins with the address of its parent, and has colons and slashes."""

    regex = "[^/]+(?:/[^/]+/[^/]+)*"


register_url_convertor("fsmflow_id", _Ids())


def in_starlette(path: str) -> str:
    """A path as routes have it."""
    return path.replace("{id}", "{id:fsmflow_id}")
