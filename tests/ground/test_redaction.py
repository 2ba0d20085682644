"""What ``redact`` finds in texts, what a definition may say, and URLs without their passwords."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from fsmflow import Machine, State
from fsmflow.log.lines import configure, step_log
from fsmflow.redaction import MASK, hide, hide_in_text, hide_password
from fsmflow.settings import Settings
from tests.definition.test_faults import faults_of

KEYS = frozenset({"card"})
LONG = "eyJhbGciOiJIUzI1NiJ9." * 20


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("secret", "it is {}!"),
        ('it\'s a "quoted"\nsecret\\', "{!r}"),
        ("größe 🙂", "größe 🙂"),
        (LONG, f"{LONG!r:.80}"),
        (123456, "no. 123456"),
        (1.2345, "{}"),
        (Decimal("1234.50"), "{!r}"),
        (date(2024, 5, 1), "{!r} {}"),
        (datetime(2024, 5, 1, tzinfo=UTC), "{}"),
        (UUID(int=7), "{}"),
        (["nested", {"deep": ["secret"]}], "secret"),
        ({"a", "b", "secret"}, "secret"),
    ],
)
def test_a_value_is_found_in_the_forms_in_which_messages_quote_it(value: Any, text: str) -> None:
    text = text.format(value, value)
    hidden = hide_in_text(f"before {text} after", KEYS, {"x": [{"card": value}]})
    assert MASK in hidden
    assert not any(part in hidden for part in ("secret", "größe", "eyJ", "1234", "2024", "00000"))
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")


def test_json_and_urls_quote_in_their_own_ways() -> None:
    value = 'a "b" & ü/'
    text = f"{json.dumps(value)} {json.dumps(value, ensure_ascii=False)} {quote(value, safe='')}"
    assert hide_in_text(text, KEYS, {"card": value}) == f'"{MASK}" "{MASK}" {MASK}'


@pytest.mark.parametrize("value", ["abc", 12, 123, True, None, "", 0.5, [], {}])
def test_what_stands_in_any_text_by_chance_is_left(value: Any) -> None:
    text = "abc 12 123 True None 0.5 [] {}"
    assert hide_in_text(text, KEYS, {"card": value}) == text


def test_masks_stay_whole_and_the_longest_value_goes_first() -> None:
    source = {"card": ["redacted", "abcd", "abcdef"]}
    once = hide_in_text("abcdef abcd redacted", KEYS, source)
    assert once == f"{MASK} {MASK} {MASK}"
    assert hide_in_text(once, KEYS, source) == once


def test_data_that_goes_round_in_a_circle_is_walked_once() -> None:
    data: dict[str, Any] = {"card": {"number": "secret"}}
    data["card"]["again"] = data["self"] = data
    for _ in range(5_000):
        data = {"deeper": data}
    assert hide_in_text("secret", KEYS, data) == MASK


def test_keys_are_matched_exactly_at_any_depth() -> None:
    value = {"card": {"n": 1}, "Card": 2, "cards": [{"card": None, "x": ({"card": 1},)}]}
    assert hide(value, KEYS) == {"card": MASK, "Card": 2, "cards": [{"card": MASK, "x": [{"card": MASK}]}]}
    assert hide(value, frozenset()) is value


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:sesame@db/shop", "postgresql://ada:***@db/shop"),
        ("postgresql://ada:se/s?a#me@db/shop", "postgresql://ada:***@db/shop"),
        ("redis://:se@same@host:6379/0", "redis://:***@host:6379/0"),
        ("mysql://ada@db/shop?ssl_key_password=sesame&x=1", "mysql://ada@db/shop?ssl_key_password=***&x=1"),
        ("postgresql://db/shop?password=sesame", "postgresql://db/shop?password=***"),
        ("sqlite:////srv/x.db", "sqlite:////srv/x.db"),
        ("unix:///tmp/x.sock?db=0", "unix:///tmp/x.sock?db=0"),
        ("ada:sesame@db/shop", "ada:***@db/shop"),
        ("postgresql:ada:se@same@db/shop", "postgresql:***@db/shop"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert hide_password(url) == shown


def test_settings_do_not_show_their_urls() -> None:
    url = "redis://:sesame@host/0"
    assert "sesame" not in repr(Settings(database_url="postgresql://ada:sesame@db/shop", redis_url=url))


@pytest.mark.parametrize("wrong", ["card", {"card": 1}, ["card", 5], [""], 5, None])
def test_redact_is_a_list_of_keys(wrong: Any) -> None:
    (fault,) = faults_of(redact=wrong)
    assert fault == f"redact={wrong!r}; it is a list of keys of data and payloads, as in redact = ['card']"


@pytest.mark.parametrize("name", ["redacted", "redacts", "redcat", "redact_"])
def test_a_misspelt_redact_would_hide_nothing_and_is_told(name: str) -> None:
    (fault,) = faults_of(**{name: ["card"]})
    assert fault == f"Door.{name} is a list of names; did you mean 'redact'? What is misspelt would hide nothing"


class Base(Machine):
    redact: Sequence[str] = ["card"]


class Door(Base):
    initial = "open"
    states = ["open", State("shut", final=True)]
    transitions = [["close", "open", "shut"]]
    contract = "not a list"
    acted = [1]


def test_redact_is_inherited_and_an_empty_one_ends_that() -> None:
    class Bare(Door):
        redact = ()

    assert Door._definition.wide.redact == {"card"}
    assert Bare._definition.wide.redact == frozenset()


FIELDS = {"state": "charging", "attempt": 1, "epoch": 3}


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_the_log_of_a_job_is_masked_with_its_arguments_and_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    log = step_log({**FIELDS, "address": "order:%d"}, lambda text: text.replace("sesame", MASK))
    with caplog.at_level(logging.INFO):
        log.debug("%s", "sesame")
        log.info("100% of sesame")
        log.info("%s of %d", "sesame", 7)
        try:
            raise ValueError("sesame")
        except ValueError as error:
            log.exception("it failed")
            log.error("again", exc_info=error)
            log.error("and again", exc_info=sys.exc_info())
    start = "order:%d charging attempt 1: "
    found = lines(caplog)
    assert found[:2] == [f"{start}100% of {MASK}", f"{start}{MASK} of 7"]
    assert all(text.endswith(f"ValueError: {MASK}") and "Traceback" in text for text in found[2:])
    assert "sesame" not in caplog.text
    assert {record.filename for record in caplog.records} == {"test_redaction.py"}


def test_a_worker_logs_no_statements_with_their_data_at_any_level() -> None:
    loggers = [logging.getLogger(name) for name in (None, "peewee", "rq.worker", "transitions")]
    before = [logger.level for logger in loggers]
    try:
        configure("DEBUG")
        assert not logging.getLogger("peewee").isEnabledFor(logging.INFO)
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def test_the_log_of_a_job_that_redacts_nothing_is_handed_on_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    log = step_log({**FIELDS, "address": "order:50%"})
    log.warning("%s of %d", "x", 7)
    log.warning("100%")
    assert lines(caplog) == ["order:50% charging attempt 1: x of 7", "order:50% charging attempt 1: 100%"]
    assert caplog.records[0].args == ("x", 7)
