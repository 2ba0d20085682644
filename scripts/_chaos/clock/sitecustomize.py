"""Shows a Python process that has this folder on its path a wall clock that is wrong by CHAOS_SHIFT_S seconds.

Python imports it by itself, before anything else. The monotonic clock is left as it is, as on a host whose wall clock
was never set right.
"""

import os
import time

_shift_s = float(os.environ.get("CHAOS_SHIFT_S", "0"))
_time, _time_ns = time.time, time.time_ns


def _shifted() -> float:
    return _time() + _shift_s


def _shifted_ns() -> int:
    return _time_ns() + round(_shift_s * 1e9)


if _shift_s:
    time.time, time.time_ns = _shifted, _shifted_ns
