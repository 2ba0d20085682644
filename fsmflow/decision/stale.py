"""The refusal of what no longer counts."""

from __future__ import annotations

from fsmflow.errors import FsmflowError


class StaleClaim(FsmflowError):
    """The attempt that wants to settle has been taken over, left or cancelled. It changes nothing."""
