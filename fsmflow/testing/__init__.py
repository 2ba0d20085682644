"""For users' own tests: fsmflow without servers, with a clock that the test moves. See ``sandbox``."""

from fsmflow.testing.box import Sandbox, sandbox
from fsmflow.testing.faults import SandboxError

__all__ = ["Sandbox", "SandboxError", "sandbox"]
