"""People before a browser: with a mouse, by keys alone, and with a finger on a phone."""

from __future__ import annotations

from typing import Any, Final

from playwright.sync_api import Locator, Page

PHONE: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
_TABS: Final = 200


class Mouse:
    """Clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, what: Locator) -> None:
        """Follow a link, or press a button, until another page is there."""
        with self.page.expect_navigation():
            self._press(what)

    def _press(self, what: Locator) -> None:
        what.click()

    def write(self, what: Locator, text: str) -> None:
        """Put a text in the place of what a field holds."""
        what.fill(text)

    def choose(self, what: Locator, text: str) -> None:
        """Choose what begins so from a list."""
        what.select_option(text)


class Finger(Mouse):
    """Taps. What is tapped has to be in sight, and large enough."""

    def _press(self, what: Locator) -> None:
        what.tap()


class Keys(Mouse):
    """Goes from one to the next, as the page has them, and never uses a mouse."""

    def _press(self, what: Locator) -> None:
        self._reach(what)
        self.page.keyboard.press("Enter")

    def write(self, what: Locator, text: str) -> None:
        self._reach(what)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def choose(self, what: Locator, text: str) -> None:
        self._reach(what)
        self.page.keyboard.type(text)

    def _reach(self, what: Locator) -> None:
        what.evaluate("each => { window.wanted = each; }")
        for _ in range(_TABS):
            if self.page.evaluate("document.activeElement === window.wanted"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"no key leads to {what}")
