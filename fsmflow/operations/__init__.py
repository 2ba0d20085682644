"""What operators do to many entities at once, as machines that come with fsmflow."""

from fsmflow.operations import alarms as alarms
from fsmflow.operations import repairs as repairs
