"""What an extra of ours brings, so that tests can do without all the rest."""

from __future__ import annotations

import configparser
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT


def modules_outside(extra: str) -> set[str]:
    """The modules that are installed here and that ``pip install fsmflow[<extra>]`` would not bring."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = {name: lines.split("\n") for name, lines in config["options.extras_require"].items()}
    brought = {"fsmflow", "pip", "setuptools"}
    for line in config["options"]["install_requires"].strip().split("\n"):
        _gather(Requirement(line), brought, set())
    _gather_extra(extra, extras, brought)
    return {
        module
        for module, packages in packages_distributions().items()
        if not brought & {canonicalize_name(package) for package in packages}
    }


def _gather_extra(extra: str, extras: dict[str, list[str]], brought: set[str]) -> None:
    for line in filter(None, extras[extra]):
        needed = Requirement(line)
        for other in needed.extras if needed.name == "fsmflow" else ():
            _gather_extra(other, extras, brought)
        _gather(needed, brought, set())


def _gather(needed: Requirement, brought: set[str], met: set[str]) -> None:
    """Add a package, and all that it needs here."""
    name = canonicalize_name(needed.name)
    if name == "fsmflow" or str(needed) in met:
        return
    met.add(str(needed))
    brought.add(name)
    try:
        lines = requires(name) or []
    except PackageNotFoundError:  # of another platform
        return
    for below in map(Requirement, lines):
        wanted = [""] if below.marker is None else [*needed.extras, ""]
        if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in wanted):
            _gather(below, brought, met)
