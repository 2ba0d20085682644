"""Queues with a Redis server of their own, as settings say them."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import settings
from fsmflow.errors import ConfigurationError
from fsmflow.settings.queues import in_environment, read_queues, unused, variable_of, where

HERE = "redis://b:6379/0"


@pytest.mark.parametrize(
    ("queue", "variable"),
    [("slow", "SLOW"), ("slow-mail", "SLOW_MAIL"), ("Slow.mail", "SLOW_MAIL"), ("büro 2", "B_RO_2"), ("_", "_")],
)
def test_a_queue_is_spelled_in_capitals_with_underscores(queue: str, variable: str) -> None:
    assert variable_of(queue) == f"FSMFLOW_REDIS_URL_{variable}"
    found = in_environment({variable_of(queue): HERE, "FSMFLOW_REDIS_URL": "redis://a", "FSMFLOW_REDIS_URL_X": ""})
    assert found == {variable_of(queue): HERE}
    assert (where(found, queue), where(found, "default")) == (HERE, None)


def test_a_name_as_it_is_goes_before_the_variable() -> None:
    said = {"slow-mail": "redis://c", "FSMFLOW_REDIS_URL_SLOW_MAIL": HERE}
    assert (where(said, "slow-mail"), where(said, "slow.mail")) == ("redis://c", HERE)


def test_what_is_said_of_queues_that_nobody_has_is_found() -> None:
    said = {"slow": HERE, "FSMFLOW_REDIS_URL_MAIL": HERE, "fats": HERE, "FSMFLOW_REDIS_URL_MAILS": HERE}
    assert unused(said, ["slow", "mail", "fast"]) == ["fats", "FSMFLOW_REDIS_URL_MAILS"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("slow=redis://b", 'queues is str; it takes a dict of queues and URLs, as in {"slow": "redis://b"}'),
        ({"": HERE}, "queues names ''; it takes names of queues, as in slow"),
        ({"a,b": HERE}, "queues names 'a,b'"),
        ({5: HERE}, "queues names 5"),
        ({"slow": ""}, "queues has no URL for 'slow'; it takes one as in redis://host:6379/0"),
        ({"slow": None}, "queues has no URL for 'slow'"),
    ],
)
def test_what_says_no_queue_or_no_url_is_refused(given: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_queues(given, "queues")
    assert told in str(caught.value)


def test_the_variables_hold_unless_configure_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings.chosen()
    monkeypatch.setenv("FSMFLOW_REDIS_URL_SLOW", HERE)
    monkeypatch.setenv("FSMFLOW_REDIS_URL_fast", HERE)
    try:
        settings.configure(redis_url="redis://a")
        assert settings.current().queues == {"FSMFLOW_REDIS_URL_SLOW": HERE}
        settings.configure(queues={"mail": HERE})
        assert settings.current().queues == {"mail": HERE}
        assert settings.handed_over(settings.current())["queues"] == {"mail": HERE}
        assert settings.misspelt()["FSMFLOW_REDIS_URL_fast"] == "FSMFLOW_REDIS_URL_FAST"
        assert "FSMFLOW_REDIS_URL_SLOW" not in settings.misspelt()
    finally:
        settings.choose(before)
