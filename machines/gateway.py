"""A pretend payment gateway: it charges once per key, keeps a ledger, and can be down.

It is down while the file ``gateway.down`` is in the home: for the orders that the file names, one a line, or for all
where it names none. Every charge is a line of ``gateway.jsonl``, so that a doubled one could be seen.
"""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any


class GatewayDown(ConnectionError):
    """The gateway does not answer; nothing was charged."""


def charge(order: str, amount: float, *, key: str) -> str:
    """Charge once per ``key``, however often it is asked; the id of the charge. Raises GatewayDown."""
    time.sleep(0.1)  # as a real one would
    if _is_down_for(order):
        raise GatewayDown(f"the payment gateway is down (there is a file {home() / 'gateway.down'})")
    home().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home() / "gateway.jsonl").open("a+", encoding="utf-8") as ledger:
        fcntl.flock(ledger, fcntl.LOCK_EX)
        ledger.seek(0)
        if key not in {json.loads(line)["key"] for line in ledger}:
            ledger.write(json.dumps({"key": key, "order": order, "amount": amount}) + "\n")
    return f"charge-{key}"


def charges() -> list[dict[str, Any]]:
    """All charges there are, the oldest first."""
    ledger = home() / "gateway.jsonl"
    return [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()] if ledger.exists() else []


def break_for(order: str) -> None:
    """Take the gateway down for one order."""
    home().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home() / "gateway.down").open("a", encoding="utf-8") as down:
        down.write(f"{order}\n")


def mend() -> None:
    """Bring the gateway back for all."""
    (home() / "gateway.down").unlink(missing_ok=True)


def home() -> Path:
    """Where fsmflow keeps its files, and these machines theirs."""
    return Path(os.environ.get("FSMFLOW_HOME") or ".fsmflow").absolute()


def _is_down_for(order: str) -> bool:
    try:
        named = (home() / "gateway.down").read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return False
    return not named or order in named
