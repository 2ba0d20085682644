"""Keeps N processes of one command running, as systemd or Kubernetes would: ``python -m _chaos.keeper N COMMAND...``.

What ends is started anew after a second. SIGTERM is passed on, and waited for. What it started ends with it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import _servers

_RESTART_S = 1.0


def main() -> int:
    count, command = int(sys.argv[1]), sys.argv[2:]
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: over.set())
    kept: list[subprocess.Popen[bytes]] = []
    while not over.is_set():
        kept = [process for process in kept if process.poll() is None]
        while len(kept) < count:
            kept.append(subprocess.Popen(command, preexec_fn=_servers.dies_with_parent(signal.SIGKILL)))
        over.wait(_RESTART_S)
    for process in kept:
        process.terminate()
    for process in kept:
        process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
