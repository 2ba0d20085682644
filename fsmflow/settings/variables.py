"""Variables of the environment that look like fsmflow's and are not read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from fsmflow.settings import queues

PREFIX = "FSMFLOW_"
#: How alike a name has to be to one that is read.
_ALIKE = 0.7
#: What the tests and the scripts of fsmflow's own repository read, and what Kubernetes sets for a service of that name.
_OF_OTHERS = re.compile(
    r"FSMFLOW_(TEST_.*|SKIP_VENV|(.*_)?SERVICE_(HOST|PORT(_.*)?)|(.*_)?PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?)"
)


def misspelt(environment: Iterable[str], read: Iterable[str]) -> dict[str, str | None]:
    """Each that is not among those that are ``read``, with the one that was probably meant, or None where none is
    near."""
    known = {name.removeprefix(PREFIX): name for name in read}
    strange = [name for name in environment if name.startswith(PREFIX) and name not in known.values()]
    return {
        name: queues.meant_by(name) or _near(name, known)
        for name in strange
        if not queues.is_variable(name) and not _OF_OTHERS.fullmatch(name)
    }


def _near(name: str, known: Mapping[str, str]) -> str | None:
    written = re.sub(r"(?<![A-Z])DB(?![A-Z])", "DATABASE", name.removeprefix(PREFIX).upper())
    near = difflib.get_close_matches(written, known, n=1, cutoff=_ALIKE)
    return known[near[0]] if near else None
