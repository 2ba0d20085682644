"""Debian's Chromium, for tests that look at pages as people do; one for all tests of a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser until the end of the block. The test is skipped where there is none."""
    if not os.path.exists(CHROMIUM):
        pytest.skip(f"there is no {CHROMIUM}: install Debian's chromium to run the tests of pages")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A page of the browser that remembers what was wrong with it: errors, and violations of its policy."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.wrong: list[str] = []
        self._context = browser.new_context(base_url=url, **options)
        self.page: Page = self._context.new_page()
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def _note(self, kind: str, text: str) -> None:
        # That a page has the status 409 is no fault of it.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.wrong.append(text)

    def close(self) -> None:
        self._context.close()


@contextmanager
def window(browser: Browser, url: str, **options: Any) -> Iterator[Window]:
    """A window, closed at the end of the block; nothing may have been wrong with what it showed."""
    made = Window(browser, url, **options)
    try:
        yield made
        assert made.wrong == []
    finally:
        made.close()


#: What WCAG 2.2 AA asks for beyond 2.1 is off in axe, unless it is asked for.
_RULES = {"rules": {"target-size": {"enabled": True}}}


@cache
def _axe() -> Axe:
    return Axe()


def faults(page: Page) -> list[tuple[str, str]]:
    """What is wrong with a page by WCAG 2.2 AA, as far as axe sees: each rule, and the first element that breaks it."""
    found = _axe().run(page, options=_RULES).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found]
