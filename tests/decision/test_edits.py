"""What a line of history tells of the data: by path, with masks, and never more than so much."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fsmflow.decision.edit import MAX_PATHS, MAX_VALUE, Edit, edit_of
from fsmflow.decision.merge import MISSING


@pytest.mark.parametrize(
    ("before", "after", "changed", "removed"),
    [
        ({"card": "a"}, {"card": "b"}, {"card": "b"}, ()),
        ({}, {"customer": {"city": "Graz"}}, {"customer": {"city": "Graz"}}, ()),
        (
            {"customer": {"city": "Graz", "zip": 8010}},
            {"customer": {"city": "Wien"}},
            {"customer.city": "Wien"},
            ("customer.zip",),
        ),
        ({"log": ["a"]}, {"log": ["a", "b", "c"]}, {"log[1]": "b", "log[2]": "c"}, ()),
        ({"log": []}, {"log": ["a"]}, {"log": ["a"]}, ()),
        ({"log": ["a", "b"]}, {"log": ["b"]}, {"log": ["b"]}, ()),
        ({"n": 1}, {"n": True}, {"n": True}, ()),
        ({"a": 1}, {}, {}, ("a",)),
        ({"a": None}, {"a": None, "b": None}, {"b": None}, ()),
    ],
)
def test_what_changed_is_told_by_path(before: Any, after: Any, changed: Any, removed: Any) -> None:
    assert edit_of(before, after, {}, ()) == Edit(changed=changed, removed=removed)
    assert edit_of(before, before, {}, ()) is None


def test_what_is_redacted_has_masks_wherever_its_key_stands() -> None:
    after = {"card": "4111", "customer": {"card": {"number": "4111"}, "name": "ada"}, "cards": [{"card": 1}]}
    edit = edit_of({"customer": {"name": "bob"}}, after, {("card", "x"): 5, ("note",): {"card": 6}}, {"card"})
    assert edit is not None
    assert edit.changed == {
        "customer.name": "ada",
        "customer.card": "[redacted]",
        "card": "[redacted]",
        "cards": [{"card": "[redacted]"}],
    }
    assert edit.overwritten == {"card.x": "[redacted]", "note": {"card": "[redacted]"}}


def test_what_is_redacted_only_since_is_hidden_when_it_is_read() -> None:
    edit = edit_of({"log": [{}]}, {"log": [{}, {"card": 1}], "a": {"card": 2}, "name": "ada"}, {("card",): 3}, ())
    assert edit is not None
    hidden = edit.hidden({"card"})
    assert hidden.changed == {"log[1]": {"card": "[redacted]"}, "a": {"card": "[redacted]"}, "name": "ada"}
    assert hidden.overwritten == {"card": "[redacted]"}
    assert edit.hidden(()) is edit


def test_a_line_is_no_copy_of_the_data() -> None:
    after = {"long": "x" * 100_000, "nested": [list(range(1_000))] * 20, **{f"k{n}" * 90: n for n in range(200)}}
    edit = edit_of({}, after, {(f"o{n}",): ["y" * 1_000] for n in range(80)}, ())
    assert edit is not None
    assert len(edit.changed) == len(edit.overwritten) == MAX_PATHS
    assert edit.more == 202 - MAX_PATHS + 80 - MAX_PATHS
    assert edit.changed["long"] == '"' + "x" * (MAX_VALUE - 1) + "... (100,002 characters)"
    assert len(edit.to_text()) < 100_000
    assert str(edit).endswith(f", and {edit.more} more")


def test_an_edit_comes_back_as_it_was_stored_and_reads_like_a_sentence() -> None:
    edit = Edit(
        changed={"day": datetime(2026, 7, 4, tzinfo=UTC), "log[1]": "b"}, removed=("card",), overwritten={"n": 1}
    )
    assert Edit.from_text(edit.to_text()) == edit
    assert str(Edit(changed={"n": 2}, removed=("card",), overwritten={"n": 1})) == "n=2, card removed, overwrote n=1"
    gone = edit_of({}, {}, {("n",): MISSING}, ())
    assert gone is not None
    assert gone.overwritten == {"n": None}
