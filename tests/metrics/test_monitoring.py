"""The dashboard and the rules ask for what is told, by labels that it has, and say commands that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import click
import pytest
import yaml

from fsmflow.cli.catalogue import CATALOGUE
from fsmflow.metrics.families import COUNTER, FAMILIES, HISTOGRAM
from tests.support.paths import ROOT

FOLDER = ROOT / "docs" / "reference" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
#: A line of the table of metrics on the page.
METRIC = re.compile(r"^\| `(fsmflow_\w+)` \| (.*?) ?\| (.+) \|$", re.MULTILINE)
#: What a scrape adds to each sample.
OF_PROMETHEUS = {"job", "instance"}
FUNCTIONS = {"absent", "count", "histogram_quantile", "increase", "label_values", "max", "min", "rate", "sum", "vector"}
WORDS = {"by", "on", "or", "unless"}
#: The names of the samples of each metric.
SAMPLES = {
    sample: family
    for name, family in FAMILIES.items()
    for sample in ([f"{name}{end}" for end in ("_bucket", "_sum", "_count")] if family.kind == HISTOGRAM else [name])
}
QUERIES = {
    **{f"{rule['alert']}": rule["expr"] for rule in RULES},
    **{f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]},
}


def labels_of(sample: str) -> set[str]:
    return {*SAMPLES[sample].labels, *OF_PROMETHEUS, *({"le"} if sample.endswith("_bucket") else ())}


def faults(query: str) -> list[str]:
    """What a query names that nothing tells: a metric, a function, a label."""
    bare = re.sub(r'"[^"]*"', '""', query)
    named = re.findall(r"(fsmflow_\w+)(?:\{([^}]*)\})?", bare)
    found = [f"no metric {sample}" for sample, _ in named if sample not in SAMPLES]
    known = [(sample, braces) for sample, braces in named if sample in SAMPLES]
    for sample, braces in known:
        wanted = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces)
        found += [f"{sample} has no label {name}" for name in wanted if name not in labels_of(sample)]
    every = {*OF_PROMETHEUS, *(name for sample, _ in known for name in labels_of(sample))}
    for names in re.findall(r"\b(?:by|on) \(([^)]*)\)", bare):
        found += [f"nothing has a label {name}" for name in re.findall(r"\w+", names) if name not in every]
    rest = re.sub(r"\b(?:by|on) \([^)]*\)|fsmflow_\w+|\{[^}]*\}|\[[^]]*\]", " ", bare)
    words = re.findall(r"[a-z_]\w*", rest)
    return found + [f"no function {word}" for word in words if word not in FUNCTIONS | WORDS]


@pytest.mark.parametrize("title", QUERIES)
def test_a_query_asks_for_what_is_told(title: str) -> None:
    query = QUERIES[title]
    assert faults(query) == []
    assert query.count("(") == query.count(")")
    for counter in (sample for sample, family in SAMPLES.items() if family.kind == COUNTER):
        assert re.findall(rf"{counter}\b", query) == re.findall(rf"(?<=rate\(|ease\(){counter}\b", query)


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("max by (job) (fsmflow_dew)", "no metric fsmflow_dew"),
        ('fsmflow_due{machine="order"}', "fsmflow_due has no label machine"),
        ("max by (state) (fsmflow_due)", "nothing has a label state"),
        ("maximum(fsmflow_due)", "no function maximum"),
    ],
)
def test_one_that_does_not_is_found(query: str, fault: str) -> None:
    assert faults(query) == [fault]


def test_each_metric_is_looked_at_by_the_dashboard_or_by_a_rule() -> None:
    """But what tells of the telling itself."""
    asked = {sample for query in QUERIES.values() for sample in re.findall(r"fsmflow_\w+", query)}
    unasked = {name for name in FAMILIES if not any(sample.startswith(name) for sample in asked)}
    assert unasked == {
        "fsmflow_info",
        "fsmflow_read_timestamp_seconds",
        "fsmflow_series_folded",
        "fsmflow_entities_counted_seconds",
        "fsmflow_holds",
        "fsmflow_work_cut",
        "fsmflow_supervisors",
        "fsmflow_failure_groups",
        "fsmflow_oldest_failure_seconds",
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_what_is_wrong_and_what_to_type_next(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description"}
    told = rule["annotations"]["description"]
    commands = re.findall(r"fsmflow ([a-z]+)((?: (?:--[a-z]+|[A-Z]+|\{\{[^}]*\}\}))*)", told)
    assert commands, told
    for name, words in commands:
        command = next(entry.load() for entry in CATALOGUE if entry.name == name)
        options = {word for option in command.params if isinstance(option, click.Option) for word in option.opts}
        assert set(re.findall(r"--[a-z]+", words)) <= options, told
    # A template that asks for a label that the query takes away prints nothing there.
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", rule["expr"]))))
    assert set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))) <= grouped


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= set(DASHBOARD)
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + across, place["y"] + down) for across in range(place["w"]) for down in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
    used = set(re.findall(r"\$(\w+)", json.dumps(PANELS)))
    assert used <= VARIABLES | {"__rate_interval"}
    for variable in DASHBOARD["templating"]["list"]:
        query = variable["query"]
        assert isinstance(query, str) or faults(re.sub(r", \w+\)", ")", query["query"])) == []


def test_the_page_lists_each_metric_and_each_alert() -> None:
    page = (ROOT / "docs" / "how-to" / "monitor.md").read_text(encoding="utf-8")
    told = [(name, tuple(re.findall(r"\w+", labels)), words) for name, labels, words in METRIC.findall(page)]
    assert told == [(family.name, family.labels, family.told) for family in FAMILIES.values()]
    assert re.findall(r"^\| `(Fsmflow\w+)` \|", page, re.MULTILINE) == [rule["alert"] for rule in RULES]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("what", [("rules", "alerts.yaml"), ("config", "prometheus.yaml")], ids=["rules", "config"])
def test_promtool_takes_the_rules(what: tuple[str, str]) -> None:
    kind, name = what
    done = subprocess.run(["promtool", "check", kind, str(FOLDER / name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
