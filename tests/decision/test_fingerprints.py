"""Which failures are of one kind."""

from __future__ import annotations

from dataclasses import replace

from fsmflow import Machine, State, codec
from tests.support.walk import Walk


class Shop(Machine):
    initial = "charging"
    states = [State("charging", job="charge"), State("paid", final=True)]
    transitions = [["done", "charging", "paid"]]

    def charge(self) -> None:
        """Nothing to charge."""


def test_a_fingerprint_is_the_same_for_failures_of_one_kind() -> None:
    prints = []
    for message in ("order 17 at 0xff: 'a'", "order 99 at 0x1234: 'b'", "other"):
        walk = Walk(Shop)
        walk.fails(ValueError(message))
        prints.append(walk.failure.fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_a_fingerprint_does_not_tell_what_an_entity_is_called_and_made_for() -> None:
    prints = []
    for entity_id, item in (("ann", "tea"), ("bob-2", "cup"), ("cid/packing/3", "a box of tea")):
        walk = Walk(Shop)
        walk.snapshot = replace(walk.snapshot, entity_id=entity_id, item_text=codec.encode(item, what="item"))
        walk.fails(ValueError(f"no box for {item} of {entity_id.partition('/')[0]}, anno 2030"))
        prints.append(walk.failure.fingerprint)
    assert len(set(prints)) == 1
