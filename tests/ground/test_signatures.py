"""Who has sent a webhook: the published vectors of each scheme, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from fsmflow import ConfigurationError, DataError
from fsmflow.signatures import GitHub, Hmac, SignatureRefused, StandardWebhooks, Stripe, Verifier

NOW = 1_614_265_330.0
BODY = b'{"test": 2432232314}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
HELLO = b"Hello, World!"
EVERYBODY = "It's a Secret to Everybody"
GITHUB = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}


def stripe(body: bytes = BODY, *, secret: str = SECRET, at: float = NOW) -> dict[str, str]:
    digest = hmac.new(secret.encode(), f"{at:.0f}.".encode() + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={at:.0f},v1={'0' * 64},v1={digest},v0=old"}


def is_refused(verifier: Verifier, headers: dict[str, str], body: bytes, now: float = NOW) -> str:
    with pytest.raises(SignatureRefused) as refused:
        verifier.check(headers, body, now)
    return str(refused.value)


def test_the_vector_of_standard_webhooks_is_taken() -> None:
    for secret in (SECRET, [SECRET, "whsec_" + base64.b64encode(b"x" * 24).decode()]):
        StandardWebhooks(secret).check(STANDARD, BODY, NOW)
    several = {**STANDARD, "webhook-signature": f"v1,AAAA v1a,xyz {STANDARD['webhook-signature']}"}
    StandardWebhooks(SECRET).check(several, BODY, NOW + 299)
    assert StandardWebhooks(SECRET).event_id(STANDARD, {}) == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert StandardWebhooks(SECRET).event_name(STANDARD, {"type": "a.b"}) == "a.b"


def test_the_vector_of_github_is_taken() -> None:
    GitHub(EVERYBODY).check(GITHUB, HELLO, NOW)
    assert GitHub("x").event_id({"x-github-delivery": "7"}, {}) == "7"
    assert GitHub("x").event_name({"x-github-event": "push"}, {}) == "push"


def test_what_stripe_signs_is_taken() -> None:
    Stripe(SECRET).check(stripe(), BODY, NOW - 299)
    assert Stripe("x").event_id({}, {"id": "evt_1", "type": "a"}) == "evt_1"
    assert Stripe("x").event_name({}, {"type": 7}) == "7"
    assert Stripe("x").event_id({}, {"id": ["a"]}) is None


@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_a_plain_hmac_is_taken_as_it_is_written(encoding: str, algorithm: str) -> None:
    verifier = Hmac("s", "X-Sign", algorithm=algorithm, encoding=encoding, prefix="a=", id="X-Id", event="kind.name")
    digest = hmac.new(b"s", BODY, getattr(hashlib, algorithm)).digest()
    written = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    verifier.check({"x-sign": f"a={written}"}, BODY, NOW)
    assert "missing or wrong" in is_refused(verifier, {"x-sign": written}, BODY)
    assert verifier.event_id({"x-id": "7"}, {}) == "7"
    assert verifier.event_name({}, {"kind": {"name": "paid"}}) == "paid"


@pytest.mark.parametrize(
    "way", ["body", "secret", "past", "to come", "no time", "no header", "other header", "letters"]
)
def test_what_is_not_signed_right_is_refused(way: str) -> None:
    standard = {
        "other header": {**STANDARD, "webhook-signature": STANDARD["webhook-signature"].removeprefix("v1,")},
        "letters": {**STANDARD, "webhook-signature": "v1,\u00e4\ud800"},
        "no header": {},
        "no time": {**STANDARD, "webhook-timestamp": "soon"},
    }.get(way, STANDARD)
    body = BODY + b" " if way == "body" else BODY
    now = NOW + {"past": 301, "to come": -301}.get(way, 0)
    assert is_refused(StandardWebhooks("whsec_AAAA" if way == "secret" else SECRET), standard, body, now)
    signed = stripe(secret="other" if way == "secret" else SECRET)
    signed = {
        "no header": {},
        "no time": {"stripe-signature": signed["stripe-signature"].partition(",")[2]},
        "other header": {"stripe-signature": signed["stripe-signature"].replace("v1=", "v0=")},
        "letters": {"stripe-signature": f"t={NOW:.0f},v1=\u00e4"},
    }.get(way, signed)
    assert is_refused(Stripe(SECRET), signed, body, now)


@pytest.mark.parametrize("given", ["", "sha256=", "sha1=757107ea", GITHUB["x-hub-signature-256"][7:], "sha256=\u00e4"])
def test_a_signature_of_github_that_is_none_is_refused(given: str) -> None:
    assert is_refused(GitHub(EVERYBODY), {"x-hub-signature-256": given} if given else {}, HELLO)
    assert is_refused(GitHub("other"), GITHUB, HELLO)


def test_secrets_come_from_the_environment_or_a_file_and_are_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(f"{EVERYBODY}\n")
    monkeypatch.setenv("GH", EVERYBODY)
    for secret in ("env:GH", f"file:{tmp_path}/secret", ["env:GH", "old"]):
        GitHub(secret).check(GITHUB, HELLO, NOW)
    for wrong, told in (
        ("env:NONE", "'NONE'"),
        (f"file:{tmp_path}/none", "cannot be read"),
        ("file:/dev/null", "empty"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            GitHub(wrong).check(GITHUB, HELLO, NOW)
    with pytest.raises(ConfigurationError) as broken:
        StandardWebhooks("whsec_s3cr3t!").check(STANDARD, BODY, NOW)
    shown = [repr(StandardWebhooks("whsec_s3cr3t")), repr(Hmac("s3cr3t", "X")), str(broken.value)]
    assert [text for text in shown if "s3cr3t" in text] == []


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Stripe(""), "one or several secrets"),
        (lambda: Stripe([]), "one or several secrets"),
        (lambda: GitHub(7), "one or several secrets"),  # type: ignore[arg-type]
        (lambda: Stripe("s", tolerance=0), "tolerance=0"),
        (lambda: Hmac("s", "X Y"), "header='X Y'"),
        (lambda: Hmac("s", "X", algorithm="sha265"), "did you mean 'sha256'"),
        (lambda: Hmac("s", "X", encoding="b64"), "encoding='b64'"),
        (lambda: Hmac("s", "X", prefix=None), "prefix=None"),  # type: ignore[arg-type]
    ],
)
def test_a_verifier_that_cannot_be_is_refused_as_it_is_made(make: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        make()
    with pytest.raises(TypeError, match="did you mean 'tolerance'"):
        Stripe("s", tolerances=3)  # type: ignore[call-arg]
