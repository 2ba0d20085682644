"""Entities in states, and with timers and messages, that the code of today does not have."""

from __future__ import annotations

import pytest

from fsmflow import Machine, UnknownState
from fsmflow.testing import sandbox
from tests.support.bench import Bench
from tests.support.deployments import Bare, Dated, Parcel, broken, deploy


@pytest.mark.parametrize("state", ["packing", "resting", "failed_from_packing"])
def test_an_entity_in_an_unknown_state_is_refused_and_mended_by_force(bench: Bench, state: str) -> None:
    deploy(bench, Parcel)
    parcel: Machine = Parcel.start("1", {"n": 1})
    if state == "failed_from_packing":
        broken.append("pack")
    parcel.trigger("begin")
    if state != "packing":
        bench.step()
    assert parcel.refresh().state == state
    deploy(bench, Bare)
    parcel = Bare.get("1")
    assert parcel.state == state
    for refused in (lambda: parcel.trigger("begin"), parcel.cancel, parcel.retry):
        with pytest.raises(UnknownState, match="name it in renamed_states, or move the entity with force"):
            refused()
    assert "no state" in str(parcel.explain().blocked_by)
    if state == "packing":
        bench.step()
        assert parcel.refresh().attempt == 1, "given back, no attempt counted"
    assert parcel.force("sending", reason="renamed by hand").state == "sending"
    assert [entry.kind for entry in parcel.history][-1] == "forced"
    bench.step()
    assert parcel.refresh().state == "sent"
    assert bench.runtime.store.work.active(bench.clock.now()) == 0


def test_a_timer_that_older_code_does_not_know_is_left_to_newer_code(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    deploy(bench, Dated)
    Dated.start("1", state="resting")
    deploy(bench, Bare)
    bench.advance(3600)
    assert "entity.unknown" in caplog.text
    assert Bare.get("1").state == "resting"
    deploy(bench, Dated)
    bench.advance(10)
    assert Dated.get("1").state == "sent"


def test_an_unknown_state_is_left_by_rewind_too() -> None:
    with sandbox([Parcel]) as box:
        Parcel.start("1").trigger("begin")
        box.run()
        deploy(box, Bare)
        assert Bare.get("1").rewind("new").state == "new"


class Ringing(Dated):
    """A bell that its parcels send to themselves ends their rest."""

    name = "parcel"
    transitions = [
        *Dated.transitions,
        {"trigger": "set", "source": "resting", "dest": None, "before": "ring_later"},
        ["bell", "resting", "sent"],
    ]

    def ring_later(self) -> None:
        self.send("bell", after=5)


def test_a_message_that_older_code_cannot_deliver_is_left_to_newer_code_and_soon(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    deploy(bench, Ringing)
    Ringing.start("1", state="resting").trigger("set")
    deploy(bench, Bare)
    bench.advance(6)
    assert "message 'bell' to parcel:1 is due" in caplog.text
    deploy(bench, Ringing)
    bench.advance(2)
    assert Ringing.get("1").state == "sent"
