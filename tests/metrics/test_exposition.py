"""What is printed is Prometheus' text: whole, escaped, bounded, and nothing that is not in the list."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fsmflow.metrics import exposition
from fsmflow.metrics.exposition import Histogram, Numbers

INFINITE = float("inf")


def parsed(numbers: Numbers) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(numbers.text()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.mark.parametrize("text", ["slow", 'a "quoted" one', "back\\slash", "two\nlines", "größer", "", "}", "\ud800"])
def test_a_label_is_read_as_it_was_told_whatever_it_holds(text: str) -> None:
    numbers = Numbers()
    numbers.add("due", 3, text)
    shown = text.encode("utf-8", "replace").decode()
    assert parsed(numbers)["fsmflow_due"] == {(("queue", shown),): 3}


def test_what_is_told_twice_is_added_up_and_of_ages_the_largest_counts() -> None:
    numbers = Numbers()
    for count, age in ((2, 7.5), (3, 4.25)):
        numbers.add("due", count, "slow")
        numbers.add("oldest_due_seconds", age, "slow")
        numbers.add("sweep_seconds", Histogram(buckets={0.1: count, INFINITE: 1}, sum=age))
    found = parsed(numbers)
    assert list(found["fsmflow_due"].values()) == [5]
    assert list(found["fsmflow_oldest_due_seconds"].values()) == [7.5]
    assert found["fsmflow_sweep_seconds_bucket"] == {(("le", "0.1"),): 5, (("le", "+Inf"),): 7}
    assert (found["fsmflow_sweep_seconds_count"], found["fsmflow_sweep_seconds_sum"]) == ({(): 7}, {(): 11.75})


def test_beyond_a_number_of_series_the_rest_is_told_as_one_and_the_sum_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "MOST", 3)
    numbers = Numbers()
    for number in range(5):
        numbers.add("running", 1, "order", "charging", f"tenant-{number}")
        numbers.add("wait_seconds", Histogram(buckets={1.0: 1, INFINITE: 0}, sum=0.5), f"tenant-{number}")
    found = parsed(numbers)
    running = {dict(labels)["queue"]: value for labels, value in found["fsmflow_running"].items()}
    assert running == {"tenant-0": 1, "tenant-1": 1, "other": 3}
    assert sum(found["fsmflow_wait_seconds_count"].values()) == 5
    assert found["fsmflow_series_folded"] == {(): 4}


def printed(*told: Any) -> str:
    numbers = Numbers()
    numbers.add(*told)
    return numbers.text()


@pytest.mark.parametrize("wrong", [("nosuch", 1), ("due", Histogram(buckets={}, sum=0), "slow"), ("due", 1)])
def test_what_is_not_in_the_list_is_not_told(wrong: tuple[Any, ...]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        printed(*wrong)
