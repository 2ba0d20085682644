"""What an error of the database says of the decisions that were to be written."""

from __future__ import annotations

from collections.abc import Sequence

from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.errors import DatabaseRefused, FsmflowError
from fsmflow.store.own_rows import row_refused
from fsmflow.store.sentence import first_line
from fsmflow.store.verdicts import is_duplicate


def refusal(commit: Commit, error: BaseException, *, at_commit: bool) -> FsmflowError:
    """What a lasting error means: another row has the key of one of ours, as somebody else wrote first; or a rule is
    broken. The user's own row names itself, but where its rule strikes at COMMIT: ours have none that do."""
    address = commit.after.address
    if not at_commit:
        sentence = first_line(error)
        return CommitLost(f"{address}: {sentence}") if is_duplicate(error) else DatabaseRefused(address, sentence)
    for each in (commit, *commit.also):
        if each.status_field is not None:
            return row_refused(each.status_field, each.after, error)
    return DatabaseRefused(address, first_line(error))


def named(commits: Sequence[Commit]) -> str:
    """What a statement about several entities is about."""
    first = commits[0].after.address
    distinct = len({commit.after.address for commit in commits})
    return first if distinct == 1 else f"{first} or another of {distinct} that are written together"
