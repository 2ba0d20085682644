"""Checks the message of a commit, given as a file: a subject of at most 72 characters, then a blank line.

    python scripts/message.py .git/COMMIT_EDITMSG

Needs nothing but Python; .pre-commit-config.yaml has git call it.
"""

import sys
from pathlib import Path

LONGEST = 72
#: What a rebase will fold into another commit: its subject is that of the other.
FOLDED = ("fixup! ", "squash! ", "amend! ")
SCISSORS = "# ------------------------ >8 ------------------------"


def main() -> int:
    faults = faults_of(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def faults_of(message: str) -> list[str]:
    """What is wrong with the form of a message, one sentence each. What git leaves out of it is not looked at."""
    lines = [line for line in message.partition(SCISSORS)[0].strip().splitlines() if not line.startswith("#")]
    while lines and not lines[0].strip():
        del lines[0]
    if not lines or lines[0].startswith(FOLDED):
        return []
    subject, faults = lines[0].rstrip(), []
    if len(subject) > LONGEST:
        faults.append(f"the subject has {len(subject)} characters; {LONGEST} are allowed: the why goes into the body")
    if lines[1:] and lines[1].strip():
        faults.append("a blank line belongs between the subject and the body")
    return faults


if __name__ == "__main__":
    sys.exit(main())
