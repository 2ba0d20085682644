"""What commands and mail servers get, and what comes of their answers."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fsmflow import ConfigurationError, clock
from fsmflow.channels import Command, Email, Log
from fsmflow.channels.message import Message
from fsmflow.channels.reply import NotDelivered
from fsmflow.channels.sender import send
from tests.support.encryption import certificate
from tests.support.receivers import post_office

DATA = {"text": "order:7 is in 'failed_from_charging'\r\nBcc: everybody@shop.example", "address": "order:7"}
MESSAGE = Message(id="msg_1", type="order.failed", timestamp="2030-01-31T18:00:00.000Z", data=DATA)


def mail(port: int, **options: Any) -> Email:
    given = {"to": ["ops@shop.example"], "sender": "shop@shop.example", "host": "127.0.0.1", "port": port}
    return Email(**{**given, "tls": "none", "timeout": 5, **options})


def test_a_mail_is_the_same_each_time_and_its_headers_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "hush")
    with post_office(refuses=("gone@shop.example",)) as post:
        channel = mail(
            post.port, to=["ops@shop.example", "gone@shop.example"], user="shop", password="env:SMTP_PASSWORD"
        )
        answered = [send(channel, MESSAGE) for _ in range(2)]
        with pytest.raises(NotDelivered, match=r"took none of the addresses: gone@shop.example \(550: nobody"):
            send(mail(post.port, to="gone@shop.example"), MESSAGE)
    assert answered[0].endswith("took it, but not for gone@shop.example (550: nobody of that name)")
    assert any(line.startswith("AUTH PLAIN") for line in post.said)
    assert "hush" not in repr(channel) + "".join(answered)
    first, second = post.mails
    assert first.as_string() == second.as_string()
    assert (first["Message-ID"], first["Bcc"]) == ("<msg_1@shop.example>", None)
    assert first["Subject"].startswith("order.failed: order:7 is in 'failed_from_charging' Bcc:")
    assert b'"address": "order:7"' in (first.get_payload(decode=True) or b"")


def test_a_mail_server_that_cannot_encrypt_gets_nothing() -> None:
    with post_office() as post, pytest.raises(NotDelivered, match="did not take it: SMTPNotSupportedError"):
        send(mail(post.port, tls="starttls"), MESSAGE)
    assert post.mails == []


def test_a_mail_server_has_to_show_the_certificate_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert = certificate(tmp_path)
    with post_office(certificate=cert) as post:
        channel = mail(post.port, tls="ssl", host="localhost")
        with pytest.raises(NotDelivered, match="SSLCertVerificationError"):
            send(channel, MESSAGE)
        monkeypatch.setenv("SSL_CERT_FILE", str(cert[0]))
        assert send(channel, MESSAGE).endswith("took it")


def test_a_mail_server_that_answers_without_an_end_is_left_in_time() -> None:
    left, began = threading.Event(), clock.monotonic()
    with (
        post_office(drops=lambda: left.wait(0.02)) as post,
        pytest.raises(NotDelivered, match="did not take it: SMTPServerDisconnected"),
    ):
        send(mail(post.port, timeout=0.3), MESSAGE)
    left.set()
    assert clock.monotonic() - began < 3
    assert post.mails == []


def test_a_command_gets_json_and_its_status_is_the_answer(tmp_path: Path) -> None:
    script = (
        "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read()); print('noted'); sys.exit(int(sys.argv[2]))"
    )
    there = tmp_path / "$(touch x)"
    words = [sys.executable, "-c", script, str(there)]
    assert send(Command([*words, "0"]), MESSAGE).endswith("ended with status 0: noted")
    assert json.loads(there.read_text()) == {"id": "msg_1", "type": "order.failed", **vars(MESSAGE)}
    with pytest.raises(NotDelivered, match="ended with status 3: noted"):
        send(Command([*words, "3"]), MESSAGE)
    with pytest.raises(NotDelivered, match="the command no-such-program cannot be started: .*No such file"):
        send(Command(["no-such-program"]), MESSAGE)


def test_a_command_that_does_not_end_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    """The child would write its file, were it left alone; it holds the pipe that we read."""
    script = "sleep 30 & echo begun; wait"
    began = clock.monotonic()
    with pytest.raises(NotDelivered, match=r"the command sh did not end within 0\.2 s: begun"):
        send(Command(["sh", "-c", script], timeout=0.2), MESSAGE)
    assert clock.monotonic() - began < 5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Command("notify --now"), r"Command\(\['notify', '--now'\]\); no shell"),
        (lambda: Command([]), "it takes a list"),
        (lambda: Command(["a", 1]), "are texts"),  # type: ignore[list-item]
        (lambda: Log(level="LOUD"), "is one of DEBUG, INFO"),
        (lambda: mail(25, to=[]), "one or several addresses"),
        (lambda: mail(25, to=["a@b.example\nBcc: c@d.example"]), "one or several addresses"),
        (lambda: mail(25, sender=""), "the address that messages come from"),
        (lambda: mail(0), "from 1 to 65535"),
        (lambda: mail(25, tls="yes"), "one of starttls, ssl, none"),
        (lambda: mail(25, user="a"), "go together"),
        (lambda: mail(25, host="mx.example", user="a", password="b"), "as everybody can read it"),
    ],
)
def test_what_cannot_be_is_refused_as_it_is_made(make: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()
