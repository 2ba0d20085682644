"""The stories of the example machines, told as their users would test them: in a sandbox, with virtual time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fsmflow import Actor, Machine, NotPermitted, TransitionNotAllowed
from fsmflow.testing import Sandbox, sandbox
from machines import mail
from machines.approval import Approval
from machines.newsletter import Newsletter
from machines.onboarding import Invitation, Onboarding
from machines.order import Order
from machines.report import Report
from machines.trip import Trip

ANN = Actor("ann", roles={"manager"})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSMFLOW_HOME", str(tmp_path))
    return tmp_path


def way(machine: Machine) -> list[str]:
    """The states that it has been in, in order."""
    return [entry.dest for entry in machine.history if entry.kind in ("start", "transition")]


# approval


def lunch(amount: int = 80) -> Approval:
    approval = Approval.start("lunch", amount=amount, manager="ann")
    approval.submit()
    return approval


def test_an_expense_is_approved_by_the_manager_who_was_asked() -> None:
    with sandbox([Approval]) as box:
        approval = lunch()
        box.run()
        assert mail.inbox("ann") == ["please approve lunch"]
        with pytest.raises(NotPermitted):
            approval.approve(actor="bob")
        approval.approve(actor=ANN, reason="a good customer")
        assert (approval.state, approval.data["answered_by"]) == ("approved", "ann")
        box.advance(days=30)
        assert mail.inbox("ann") == ["please approve lunch"]


def test_a_small_expense_needs_no_approval() -> None:
    with sandbox([Approval]):
        assert lunch(amount=20).state == "approved"


def test_an_answer_that_comes_too_early_is_kept_until_it_can_be_taken() -> None:
    with sandbox([Approval]) as box:
        approval = lunch()
        assert approval.reject(actor=ANN).kind == "deferred"
        assert approval.state == "asking"
        box.run()
        assert approval.refresh().state == "rejected"


def test_a_manager_who_keeps_silent_is_reminded_once_and_then_the_claim_expires() -> None:
    with sandbox([Approval]) as box:
        approval = lunch()
        box.advance(days=2)
        assert approval.refresh().state == "awaiting_answer"
        box.advance(days=2)
        assert approval.refresh().state == "awaiting_late_answer"
        assert mail.inbox("ann") == ["please approve lunch", "lunch still waits for you"]
        box.advance(days=3)
        assert approval.refresh().state == "expired"
        with pytest.raises(TransitionNotAllowed):
            approval.approve(actor=ANN)


def test_a_late_answer_counts_too() -> None:
    with sandbox([Approval]) as box:
        approval = lunch()
        box.advance(days=5)
        approval.approve(actor=ANN)
        assert approval.state == "approved"


def test_mail_that_is_down_for_some_minutes_delays_the_question() -> None:
    with sandbox([Approval]) as box:
        box.fail("ask", mail.MailDown("down"), times=3)
        approval = lunch()
        box.advance(minutes=10)
        assert approval.refresh().state == "awaiting_answer"
        assert mail.inbox("ann") == ["please approve lunch"]


# newsletter


def test_a_newsletter_goes_to_all_readers_and_is_summed_up() -> None:
    with sandbox([Newsletter]) as box:
        newsletter = Newsletter.start("may", text="It is spring.", readers=["ann", "bob", "eve"])
        newsletter.publish()
        box.run()
        assert newsletter.refresh().state == "sent"
        assert (newsletter.data["delivered"], newsletter.data["missed"]) == (3, [])
        assert mail.inbox("bob") == ["It is spring."]


def test_a_moment_without_mail_is_retried_by_itself() -> None:
    with sandbox([Newsletter]) as box:
        box.fail("deliver", mail.MailDown("down"), times=2)
        newsletter = Newsletter.start("may", text="It is spring.", readers=["ann", "bob"])
        newsletter.publish()
        box.advance(minutes=1)
        assert newsletter.refresh().state == "sent"


def test_only_those_that_failed_are_retried() -> None:
    with sandbox([Newsletter]) as box:
        mail.break_for("bob", "joe")
        newsletter = Newsletter.start("may", text="It is spring.", readers=["ann", "bob", "eve", "joe", "kim"])
        newsletter.publish()
        box.advance(minutes=1)
        assert newsletter.refresh().state == "failed_from_sending"
        assert str(newsletter.progress) == "3 of 5 done, 2 failed, 0 running"
        mail.mend()
        newsletter.retry(actor="alice", reason="mail is up again")
        box.run()
        assert newsletter.refresh().state == "sent"
        assert newsletter.data["delivered"] == 5
        runs = [Newsletter.get(f"may/sending/{index}").history[-1].attempt for index in range(5)]
        assert runs == [1, 4, 1, 4, 1]


def test_who_cannot_be_reached_is_skipped_and_named() -> None:
    with sandbox([Newsletter]) as box:
        mail.break_for("bob")
        newsletter = Newsletter.start("may", text="It is spring.", readers=["ann", "bob"])
        newsletter.publish()
        box.advance(minutes=1)
        newsletter.skip(actor="alice", reason="bob has moved")
        assert newsletter.state == "sent"
        assert (newsletter.data["delivered"], newsletter.data["missed"]) == (1, ["bob"])


def test_a_worker_that_dies_after_the_mail_has_gone_sends_no_second_one() -> None:
    with sandbox([Newsletter]) as box:
        box.crash("deliver", after_job=True)
        newsletter = Newsletter.start("may", text="It is spring.", readers=["ann"])
        newsletter.publish()
        box.run()
        assert newsletter.refresh().state == "sent"
        assert mail.inbox("ann") == ["It is spring."]


# trip


def bookings(home: Path) -> list[str]:
    return sorted(booking.name for booking in home.glob("bookings/trip-rome/*"))


def test_a_trip_is_booked_and_begun(home: Path) -> None:
    with sandbox([Trip]) as box:
        trip = Trip.start("rome", budget=500)
        box.run()
        assert trip.refresh().state == "booked"
        assert bookings(home) == ["car", "flight", "hotel"]
        trip.depart()
        assert trip.state == "travelled"


def test_without_a_flight_the_hotel_and_then_the_car_are_cancelled(home: Path) -> None:
    with sandbox([Trip]) as box:
        trip = Trip.start("rome", budget=100)
        box.run()
        assert trip.refresh().state == "undone"
        assert way(trip)[3:] == ["undoing_booking_flight", "undoing_booking_hotel", "undoing_booking_car", "undone"]
        assert bookings(home) == []


def test_a_cancellation_that_fails_rests_and_goes_on_from_there(home: Path) -> None:
    with sandbox([Trip]) as box:
        box.fail("cancel_hotel", ConnectionError("the agency is closed"), times=3)
        trip = Trip.start("rome", budget=100)
        box.advance(minutes=1)
        assert trip.refresh().state == "failed_from_undoing_booking_hotel"
        assert bookings(home) == ["car", "hotel"]
        trip.resume()
        box.run()
        assert trip.refresh().state == "undone"
        assert bookings(home) == []


def test_a_trip_that_is_cancelled_is_taken_back(home: Path) -> None:
    with sandbox([Trip]) as box:
        trip = Trip.start("rome", budget=500)
        box.run()
        trip.cancel(actor="alice", reason="ill")
        box.run()
        assert trip.refresh().state == "undone"
        assert bookings(home) == []


# onboarding


def zoe(box: Sandbox) -> tuple[Onboarding, list[Invitation]]:
    """Zoe, and the invitations of ann, bob, eve."""
    onboarding = Onboarding.start("zoe", colleagues=["ann", "bob", "eve"])
    box.advance(minutes=1)
    return onboarding, list(Invitation.find(branches=True))


def test_the_first_two_that_accept_are_the_mentors() -> None:
    with sandbox([Onboarding, Invitation]) as box:
        onboarding, (ann, bob, eve) = zoe(box)
        assert mail.inbox("ann") == ["would you mentor zoe?"]
        ann.accept()
        assert str(onboarding.refresh().progress) == "1 of 3 done, 2 running"
        eve.accept()
        assert onboarding.refresh().state == "welcoming"
        assert bob.refresh().state == "cancelled"
        box.run()
        assert onboarding.refresh().state == "welcomed"
        assert mail.inbox("zoe") == ["your mentors: ann, eve"]


def test_who_does_not_answer_in_two_days_has_declined() -> None:
    with sandbox([Onboarding, Invitation]) as box:
        onboarding, (ann, bob, eve) = zoe(box)
        ann.decline()
        bob.accept()
        box.advance(days=3)
        assert eve.refresh().state == "declined"
        assert onboarding.refresh().state == "without_mentors"


def test_an_invitation_that_could_not_be_sent_is_sent_again_alone() -> None:
    with sandbox([Onboarding, Invitation]) as box:
        mail.break_for("bob")
        onboarding, (ann, bob, eve) = zoe(box)
        ann.accept()
        eve.decline()
        assert onboarding.refresh().state == "failed_from_finding_mentors"
        mail.mend()
        onboarding.retry()
        box.run()
        bob.accept()
        box.run()
        assert onboarding.refresh().state == "welcomed"
        assert onboarding.data["mentors"] == ["ann", "bob"]


def test_an_invitation_that_could_not_be_sent_does_not_matter_where_two_others_accept() -> None:
    with sandbox([Onboarding, Invitation]) as box:
        mail.break_for("bob")
        onboarding, (ann, _, eve) = zoe(box)
        ann.accept()
        eve.accept()
        assert onboarding.refresh().state == "welcoming"


def test_after_five_days_there_are_no_mentors_and_open_invitations_are_cancelled() -> None:
    with sandbox([Onboarding, Invitation]) as box:
        mail.break_for("bob")
        onboarding, (_, _, eve) = zoe(box)
        eve.pause()  # her two days do not run on
        box.advance(days=5)
        assert onboarding.refresh().state == "without_mentors"
        assert eve.refresh().state == "cancelled"


# report


START = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_report_is_written_each_night(home: Path) -> None:
    with sandbox([Report, Order], start=START) as box:
        Order.start("1", amount=30)
        box.advance(days=2)
        assert [report.address for report in Report.find(state="written")] == [
            "report:2030-01-01T03:00:00Z",
            "report:2030-01-02T03:00:00Z",
        ]
        assert json.loads((home / "reports" / "2030-01-02.json").read_text()) == {"pending": 1}


def test_a_report_that_failed_is_retried_as_that_of_its_night(home: Path) -> None:
    with sandbox([Report, Order], start=START) as box:
        box.fail("write", OSError("no space left on device"), times=4)
        box.advance(hours=4)
        report = next(Report.find())
        assert report.state == "failed_from_writing"
        box.advance(timedelta(hours=40))
        report.retry()
        box.run()
        assert report.refresh().state == "written"
        assert report.data["report"] == str(home / "reports" / "2030-01-01.json")


def test_a_report_can_be_started_by_hand(home: Path) -> None:
    with sandbox([Report, Order], start=START) as box:
        Report.start("now")
        box.run()
        assert (home / "reports" / "2030-01-01.json").exists()
