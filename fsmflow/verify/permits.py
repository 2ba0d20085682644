"""Whether limits are kept: no more have a permit than there may be."""

from __future__ import annotations

from fsmflow.store.reader import Reader
from fsmflow.store.tables import LIMIT, PERMIT, WORK
from fsmflow.verify.report import Findings


def check_permits(reader: Reader, findings: Findings) -> None:
    """Those that are good, as their claims are live, are no more than the last of them was one of. Two queries."""
    name, owner = reader.quoted("name"), reader.quoted("owner")
    same = " AND ".join(f"w.{reader.quoted(each)} = p.{reader.quoted(each)}" for each in ("epoch", "attempt", "fence"))
    sql = (
        f"SELECT p.{name}, COUNT(*), MAX(p.most) FROM {PERMIT} p JOIN {WORK} w ON w.entity = p.entity "
        f"AND w.{owner} = p.{owner} AND {same} WHERE p.stage = 0 GROUP BY p.{name} ORDER BY p.{name}"
    )
    for limit, count, most in reader.rows(sql):
        if int(count) > int(most):
            findings.add("limit-kept", f"limit {limit}", f"{count} have a permit, and {most} may")
    findings.checked["limits"] = int(reader.rows(f"SELECT COUNT(*) FROM {LIMIT}")[0][0])
    if not findings.checked["limits"]:
        del findings.checked["limits"]
