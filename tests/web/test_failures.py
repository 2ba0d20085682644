"""The pages of failure groups: what failed together, and what people say of it."""

from __future__ import annotations

import html
from urllib.parse import quote

import pytest

from fsmflow import failures
from fsmflow.failures import FailureGroup
from tests.support.bench import Bench
from tests.support.website import Site
from tests.web.shop import HOSTILE
from tests.web.ward import clerks_site, failed

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def only() -> FailureGroup:
    (found,) = failures.groups(every=True)
    return failures.group(found.id)


def test_groups_are_listed_with_how_many_and_since_when(bench: Bench, site: Site) -> None:
    assert "Nothing has failed." in site.page("/failures")
    failed(bench, 3)
    failed(bench, 2, "t", complaint="the till is closed")
    page = site.page("/failures")
    assert "<b>3</b>" in page
    assert "<b>2</b>" in page
    assert "the till is closed" in page


def test_a_group_shows_its_traceback_its_members_and_the_way_to_a_repair(bench: Bench, site: Site) -> None:
    failed(bench, 3)
    group = only()
    page = html.unescape(site.page(f"/failures/{group.id}"))
    assert "raise ValueError(self.data.get(" in page
    assert "3 rest in it now" in page
    assert f"/repairs/new?q=group%3A{group.id}&action=retry" in page
    assert f"fsmflow retry --group {group.short}" in page
    assert 'href="/entity/sale:s2"' in page
    site.page("/failures/77ab77", 404)


def test_what_is_said_of_a_group_is_kept_and_shown(bench: Bench, site: Site) -> None:
    failed(bench, 1)
    path = f"/failures/{only().id}"
    assert f"fsmflow failures resolve {only().short}" in site.page(f"{path}/resolve")
    assert site.post(f"{path}/resolve", release="2.4").headers["location"] == f"{path}?said=resolve"
    assert (only().life, only().life_by, only().life_release) == ("resolved", "ada", "2.4")
    assert "Nothing that failed waits for somebody." in site.page("/failures")
    assert "resolved in 2.4" in site.page(path)
    assert "resolved" in site.page("/failures?all=1")
    site.post(f"{path}/reopen")
    site.post(f"{path}/ignore", until="2h", count="5")
    assert (only().life, only().most) == ("ignored", 6)
    site.post(f"{path}/note", text="the bank is asked", link="https://tickets.example.com/17")
    page = site.page(path)
    assert "the bank is asked" in page
    assert 'href="https://tickets.example.com/17"' in page
    assert "the bank is asked" in site.page(f"{path}/note")


def test_groups_are_merged(bench: Bench, site: Site) -> None:
    failed(bench, 2)
    failed(bench, 1, "t", complaint="the till is closed")
    large, small = failures.groups()
    site.post(f"/failures/{small.id}/merge", into=large.short)
    assert [each.count for each in failures.groups()] == [3]
    assert "are one failure group already" in site.post(f"/failures/{small.id}/merge", 422, into=large.id).text


def test_what_makes_no_sense_is_told_and_stays_in_the_form(bench: Bench, site: Site) -> None:
    failed(bench, 1)
    path = f"/failures/{only().id}"
    for until, told in (("soon", "write 2h, 2030-01-31"), ("2001-01-01", "is past already")):
        answer = site.post(f"{path}/ignore", 422, until=until).text
        assert "Nothing was changed." in answer
        assert told in html.unescape(answer)
        assert f'value="{until}"' in answer
    assert "it begins with https://" in site.post(f"{path}/note", 422, link="javascript:alert(1)").text
    site.page(f"{path}/explode", 404)


def test_a_clerk_sees_no_button_and_is_refused(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    failed(bench, 1)
    path = f"/failures/{only().id}"
    with clerks_site(bench) as site:
        page = site.page(path)
        assert "Resolve" not in page
        assert "/repairs/new" not in page
        for saying in ("resolve", "ignore", "reopen", "note", "merge"):
            answer = site.post(f"{path}/{saying}", 403, text="x", into=only().id)
            assert "Nothing was changed" in answer.text
    assert only().life == "open"
    assert f"web.refused: POST {path}/resolve" in caplog.text


def test_hostile_texts_are_texts(bench: Bench, site: Site) -> None:
    failed(bench, 1, HOSTILE[:40].replace("/", ""), complaint=HOSTILE)
    path = f"/failures/{only().id}"
    site.post(f"{path}/note", text=HOSTILE)
    site.post(f"{path}/note", 422, text=HOSTILE, link=HOSTILE)
    for page in (
        "/failures",
        path,
        f"{path}/note",
        f"{path}/merge?into={quote(HOSTILE)}",
        f"{path}?said={quote(HOSTILE)}",
    ):
        text = site.page(page)
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page
        assert "49</textarea>" not in text, page
