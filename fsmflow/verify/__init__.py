"""A checker of the promises: it reads the database, and shares no code with what writes it."""

from fsmflow.verify.checker import verify
from fsmflow.verify.report import Report, Violation

__all__ = ["Report", "Violation", "verify"]
