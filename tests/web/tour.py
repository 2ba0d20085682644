"""Makes the pictures of the tour anew: ``python -m tests.web.tour``. Beside them it keeps what each page shows in
words, which a test compares with the pages of today."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from playwright.sync_api import Browser

from fsmflow import failures, repairs
from tests.support.bench import bench_on
from tests.support.browser import browsing
from tests.support.eventually import eventually
from tests.support.paths import ROOT
from tests.support.people import PHONE
from tests.support.servers import Valkey
from tests.support.website import Site, site_of
from tests.web.bakery import MACHINES
from tests.web.day import MANAGER, live_through, order

FOLDER: Final = ROOT / "docs" / "tour"
WORDS: Final = FOLDER / "pages.json"
_WIDE: Final[dict[str, Any]] = {"viewport": {"width": 1080, "height": 560}}
_TALL: Final[dict[str, Any]] = {"viewport": {"width": 1080, "height": 680}}
_SMALL: Final[dict[str, Any]] = {**PHONE, "viewport": {"width": 390, "height": 620}}


class Stop(NamedTuple):
    """A page of the tour, and in which window it is looked at."""

    path: str
    options: Mapping[str, Any] = _WIDE


def stops() -> dict[str, Stop]:
    """By the name of the picture."""
    group = failures.groups()[0].id
    repair = next(repairs.find(newest=True)).entity_id
    return {
        "overview": Stop("/", _TALL),
        "search": Stop("/entities?q=phase:failed&cols=customer amount"),
        "entity": Stop("/entity/order:1031"),
        "retry": Stop("/do/retry/order:1031"),
        "group": Stop(f"/failures/{group}"),
        "repair": Stop(f"/repairs/{repair}"),
        "waiting": Stop("/waiting", _SMALL),
        "holds": Stop("/holds"),
    }


def words_of(page: str) -> list[str]:
    """What a page is recognised by: its headings, the heads of its tables, its labels and its buttons. Ids that are
    made up each time are not told apart."""
    tags = r"<(h1|h2|th|label|button|a class=\"button[^>]*)\b[^>]*>(.*?)</(?:h1|h2|th|label|button|a)>"
    found = (
        re.sub(r"<[^>]+>", "", each[1])
        for each in re.findall(tags, page.partition("<main")[2].partition("</main>")[0], re.DOTALL)
    )
    plain = (re.sub(r"\s+", " ", html.unescape(each)).strip() for each in found)
    return list(dict.fromkeys(re.sub(r"\d+-[0-9a-f]{6}|\b[0-9a-f]{7,}\b|\d+", "N", each) for each in plain if each))


@contextlib.contextmanager
def bakery(database_url: str, redis_url: str) -> Iterator[Site]:
    """The site of the bakery, as its day is over."""
    with bench_on(redis_url, database_url=database_url, machines=MACHINES) as bench:
        live_through(bench)
        with site_of(lambda request: MANAGER) as site:
            yield site


def _shoot(browser: Browser, site: Site, name: str, stop: Stop) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(base_url=site.url, **{**stop.options, "color_scheme": scheme})
        page = context.new_page()
        page.goto(stop.path)
        page.screenshot(path=FOLDER / f"{name}-{scheme}.png")
        context.close()


def main() -> None:
    """Make them all."""
    os.environ["FSMFLOW_RELEASE"] = "2026.11"
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="tour-") as folder:
        valkey = Valkey(Path(folder))
        valkey.start()
        database_url = f"sqlite:///{folder}/fsmflow.db"
        with bakery(database_url, valkey.url) as site, browsing() as browser, _worker(database_url, valkey.url):
            found = stops()
            told = {name: words_of(site.page(stop.path)) for name, stop in found.items()}
            WORDS.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            for name, stop in found.items():
                _shoot(browser, site, name, stop)
        valkey.stop()


@contextlib.contextmanager
def _worker(database_url: str, redis_url: str) -> Iterator[None]:
    """A real worker, so that nothing on the pages says that nobody listens."""
    named = {"FSMFLOW_DATABASE_URL": database_url, "FSMFLOW_REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **named, "FSMFLOW_MACHINES": "tests.web.bakery"}
    worker = subprocess.Popen([sys.executable, "-m", "fsmflow.cli", "worker", "--processes", "1"], env=environment)
    try:
        made = order(1071)
        eventually(lambda: made.refresh().state == "approval", within=120, what="a worker")
        yield
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main()
