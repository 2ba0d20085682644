#!/usr/bin/env python3
"""Retry failed entities: ``python scripts/retry.py order:1042``. The same as ``fsmflow retry``, from a checkout.

    python scripts/retry.py order:1042 order:1042/packing/3
    python scripts/retry.py order:1043 --data card=tok_2 --data amount:=1500
    python scripts/retry.py --machine order --state failed_from_charging --error 'Timeout*' --dry-run
    python scripts/retry.py --machine order --older 2h --where customer=7 --branches

It works in any folder, and needs nothing installed but the checkout's ``.venv``. Machines are looked for in the
current folder first, then in the checkout; so is the embedded database (``.fsmflow``), where no setting names another.
Exit status: 0 done, 1 refused or failed, 2 wrong usage.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")

# In the place of this script's own folder, whose modules are not to be imported by their bare names.
sys.path[0] = ROOT
try:
    from fsmflow.cli.actions import ACTION_COMMANDS
    from fsmflow.cli.main import run
except (ImportError, SyntaxError) as error:
    if os.access(PYTHON, os.X_OK) and os.path.abspath(sys.executable) != PYTHON:
        sys.stdout.flush()
        os.execv(PYTHON, [PYTHON, os.path.abspath(__file__), *sys.argv[1:]])
    sys.exit(
        f"Error: fsmflow cannot be imported by {sys.executable} ({error}); run once: "
        f"python3 -m venv {VENV} && {VENV}/bin/pip install -e '{ROOT}[embedded]'"
    )


def main() -> int:
    """Retry what the arguments say. The exit status."""
    home, chosen = ".fsmflow", ("FSMFLOW_HOME", "FSMFLOW_DATABASE_URL")
    if not any(os.environ.get(name) for name in chosen) and not os.path.isdir(home):
        in_checkout = os.path.join(ROOT, home)
        if os.path.isdir(in_checkout):
            os.environ["FSMFLOW_HOME"] = in_checkout
    return run(ACTION_COMMANDS["retry"], sys.argv[1:], "retry.py")


if __name__ == "__main__":
    sys.exit(main())
