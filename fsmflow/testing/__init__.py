"""For users' own tests: fsmflow without servers, with a clock that the test moves. See ``sandbox``."""

from fsmflow.testing.box import Sandbox, sandbox
from fsmflow.testing.conformance import Library, NonConformant, check_conformance
from fsmflow.testing.faults import SandboxError

__all__ = ["Library", "NonConformant", "Sandbox", "SandboxError", "check_conformance", "sandbox"]
