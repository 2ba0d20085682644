"""A webhook is posted once, signed, to an address that was checked, and takes no longer than it may."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from fsmflow import ConfigurationError, Fail, RetryAfter, clock
from fsmflow.channels import Webhook, new_secret
from fsmflow.channels.message import Message
from fsmflow.channels.reply import NotDelivered
from fsmflow.channels.sender import send
from tests.support.encryption import certificate
from tests.support.receivers import raw, receiver

MESSAGE = Message(id="msg_1", type="order.shipped", timestamp="2030-01-31T18:00:00.000Z", data={"id": "Größe"})
OLD, NEW = new_secret(), new_secret()


def hook(url: str, **options: Any) -> Webhook:
    return Webhook(url, **{"secret": NEW, "allow_private": True, "timeout": 5, **options})


def signature(secret: str, taken: Any) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{taken.headers['webhook-id']}.{taken.headers['webhook-timestamp']}.".encode() + taken.body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def test_it_is_signed_with_each_secret_and_has_the_same_bytes_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_SECRET", OLD)
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:9")
    with receiver() as there:
        monkeypatch.setenv("OPS_URL", there.url)
        for _ in range(2):
            answered = send(hook("env:OPS_URL", secret=[NEW, "env:OPS_SECRET"]), MESSAGE)
    first, second = there.taken
    assert answered.endswith("answered 204 No Content")
    assert first.path == "/hooks?shop=7"
    assert first.headers["webhook-id"] == "msg_1"
    assert abs(int(first.headers["webhook-timestamp"]) - clock.local_now() // 1000) < 60
    assert first.headers["webhook-signature"].split() == [signature(NEW, first), signature(OLD, first)]
    assert json.loads(first.body) == {"type": MESSAGE.type, "timestamp": MESSAGE.timestamp, "data": MESSAGE.data}
    assert first.body == second.body


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (
            (500, {}, b"<p>sorry</p>\n" * 999),
            NotDelivered,
            r"answered 500 Internal Server Error: <p>sorry</p> <p>.*\.\.\.",
        ),
        ((404, {}, b""), NotDelivered, "answered 404 Not Found"),
        ((302, {"Location": "http://169.254.169.254/"}, b""), NotDelivered, "redirects are not followed"),
        ((410, {}, b"bye"), Fail, "answered 410 Gone: bye: it wants no messages any more"),
        ((429, {"Retry-After": "90"}, b""), RetryAfter, "asks to come again in 90 s"),
        ((503, {"Retry-After": "Fri, 31 Jan 2070 18:00:00 GMT"}, b""), RetryAfter, "asks to come again in 21600 s"),
        ((503, {"Retry-After": "soon"}, b""), NotDelivered, "answered 503 Service Unavailable"),
        (raw(b"SSH-2.0-OpenSSH\r\n"), NotDelivered, "cannot be reached: BadStatusLine"),
        (raw(), NotDelivered, "cannot be reached: RemoteDisconnected"),
        (raw(b"HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nhalf"), NotDelivered, "answered 500 No"),
    ],
)
def test_what_is_answered_says_what_comes_of_it(answer: Any, error: type[Exception], words: str) -> None:
    with receiver(answer) as there, pytest.raises(error, match=words) as raised:
        send(hook(there.url), MESSAGE)
    assert len(there.taken) == 1
    assert "hooks" not in str(raised.value), "the path of an address may be secret"


def test_one_that_answers_in_drops_is_left_in_time() -> None:
    """Each byte comes soon, and all of them would take for ever."""
    left = threading.Event()
    drops = raw(b"HTTP/1.1 200 OK\r\nX-Drop: ", *[b"a"] * 10_000, then=lambda: left.wait(0.02))
    began = clock.monotonic()
    with receiver(drops) as there, pytest.raises(NotDelivered, match=r"did not answer within 0\.3 s"):
        send(hook(there.url, timeout=0.3), MESSAGE)
    left.set()
    assert clock.monotonic() - began < 2


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What names stand for, and which of these addresses were connected to."""
    found: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        kinds = [(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in found]
        return [(kind, socket.SOCK_STREAM, 6, "", (one, port)) for kind, one in kinds]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


@pytest.mark.parametrize(
    "inside",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("255.255.255.255", "198.18.0.1", "192.0.0.8", "168.63.129.16", "::1", "::", "fe80::1%eth0", "fd00:ec2::254"),
        *("::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:db8::1"),
        *("ff02::1", "fec0::1", "::7f00:1"),
    ],
)
def test_a_private_address_is_refused_though_another_one_is_not(
    resolver: list[str], monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    resolver += ["93.184.215.14", inside]
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    with pytest.raises(NotDelivered, match=r"hooks\.example has the address .*, which is"):
        send(hook("https://hooks.example/", allow_private=False), MESSAGE)


def test_what_was_checked_is_what_is_connected_to(resolver: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that stands for another address the second time it is asked for finds nobody who asks."""
    resolver += ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
    connected: list[Any] = []

    def connect(_: socket.socket, address: Any) -> None:
        connected.append(address)
        resolver[:] = ["127.0.0.1"]
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(NotDelivered, match=r"hooks\.example cannot be reached: .*Connection refused"):
        send(hook("https://hooks.example/", allow_private=False), MESSAGE)
    assert [address[:2] for address in connected] == [
        ("93.184.215.14", 443),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", 443),
    ]


def test_the_certificate_has_to_be_that_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, other = certificate(tmp_path), certificate(tmp_path, "other.example")
    with receiver(certificate=good) as there:
        with pytest.raises(NotDelivered, match="the certificate of localhost:.* is not accepted: .*self.signed"):
            send(hook(there.url), MESSAGE)
        monkeypatch.setenv("SSL_CERT_FILE", str(good[0]))
        assert "answered 204" in send(hook(there.url), MESSAGE)
    monkeypatch.setenv("SSL_CERT_FILE", str(other[0]))
    with (
        receiver(certificate=other) as there,
        pytest.raises(NotDelivered, match="is not accepted: .*Hostname mismatch"),
    ):
        send(hook(there.url), MESSAGE)
    assert there.taken == []


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("http://a.example/", {}, "http://a.example is not encrypted"),
        ("ftp://a.example/", {}, "begins with 'ftp'"),
        ("https://me:hush@a.example/", {}, "the address of a.example has a user or password"),
        ("https://a.example/#x", {}, "a part behind '#'"),
        ("https:///hush", {}, "cannot be read"),
        ("https://a.example:99999/hush", {}, "cannot be read"),
        ("https://a.example/hu sh", {}, "cannot be read"),
        ("https://a.example/", {"secret": "whsec_aHVzaA=="}, "24 to 64 bytes in base64"),
        ("https://a.example/", {"secret": "hush"}, "'fsmflow channels secret' makes one"),
        ("https://a.example/", {"secret": []}, "one or several secrets"),
        ("https://a.example/", {"timeout": 61}, r"timeout=61\): it takes seconds, more than 0, at most 60"),
        ("https://a.example/", {"allow_private": "no"}, "it is True or False"),
    ],
)
def test_what_cannot_be_is_refused_as_it_is_made(url: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        hook(url, **{"allow_private": False, **options})
    assert "hush" not in str(raised.value)
    assert "aHVzaA" not in str(raised.value)


def test_nothing_that_is_secret_is_shown() -> None:
    channel = hook("https://a.example:8443/hush", allow_private=False)
    assert repr(channel) == str(channel) == "Webhook('a.example:8443', allow_private=False, timeout=5)"
