"""The files that pages need: read once, named by their digest, and kept by browsers for good."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.diagram.colours import STYLE
from fsmflow.values import dataclass

_FOLDER: Final = Path(__file__).parent / "static"
_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
DIAGRAM: Final = "diagram.css"
_FOR_GOOD: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file, with the digest that its address has."""

    content: bytes
    kind: str
    digest: str


@cache
def files() -> dict[str, File]:
    """All of them, by name. Another name is in no folder: nothing is looked up by what a request says."""
    found = {path.name: path.read_bytes() for path in sorted(_FOLDER.iterdir()) if path.suffix in _KINDS}
    # The looks of drawings: no page may have a style in it.
    found[DIAGRAM] = STYLE.encode()
    return {name: _file(name, content) for name, content in found.items()}


def place_of(name: str) -> str:
    """The path of a file; another one once its content is another."""
    return f"/static/{files()[name].digest}/{name}"


async def _serve(request: Request) -> Response:
    file = files().get(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    # While a release is rolled out, pages of the other one ask for files of this one.
    kept = _FOR_GOOD if request.path_params["digest"] == file.digest else "no-cache"
    return Response(file.content, media_type=file.kind, headers={"Cache-Control": kept, "ETag": f'"{file.digest}"'})


def _file(name: str, content: bytes) -> File:
    kind = _KINDS[Path(name).suffix]
    return File(content=content, kind=kind, digest=hashlib.sha256(content).hexdigest()[:16])


ROUTE: Final = Route("/static/{digest}/{name}", _serve)
