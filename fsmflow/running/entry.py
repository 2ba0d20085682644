"""Where a worker process begins. Run by file path; it imports the standard library only.

Its supervisor hands over, in a file without a name, where to look for modules, and the settings. Nothing of that is in
the environment: whatever a job starts inherits that, and would run another Python on our path.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """``arguments``: the descriptor of what is handed over, the module to be run, and what that takes."""
    descriptor, module, *others = arguments
    with os.fdopen(int(descriptor)) as file:
        handed = json.load(file)
    sys.path[:] = handed["path"]
    # As for a command: the driver of a server that is not used takes a third of the start.
    importlib.import_module("fsmflow.store.placeholders").import_peewee()
    status: int = importlib.import_module(module).main(others, handed["settings"])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
