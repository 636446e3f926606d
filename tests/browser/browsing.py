"""A real browser for the tests: Debian's Chromium, driven by Playwright, and let nowhere but to the page it is given.

Its tests are synchronous: Playwright keeps a loop of its own running in their thread for as long as the browser lives.
"""

import os
import re
import shutil
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import attrs
import pytest

try:
    from playwright.sync_api import expect
except ModuleNotFoundError:  # an extra of its own: the fixture "browser" says so
    expect = None  # type: ignore[assignment]  # no test comes as far as using it

if TYPE_CHECKING:  # the same
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Route, ViewportSize

__all__ = [
    "DESK",
    "PHONE",
    "REQUIRED",
    "Scheme",
    "Visits",
    "barriers",
    "chromium",
    "expect",
    "missing",
    "origin",
    "sideways",
]

PHONE, DESK = 390, 1280
Scheme = Literal["light", "dark"]
REQUIRED = os.environ.get("OMEDA_ASYNC_TEST_BROWSER") == "required"
_HEIGHTS = {PHONE: 844, DESK: 800}
_INSIDE = ("data", "blob", "about")


def missing(what: str) -> None:
    """Skip a test, or fail where nothing may be missing."""
    if REQUIRED:
        pytest.fail(f"{what} (OMEDA_ASYNC_TEST_BROWSER=required)")
    pytest.skip(what)


def chromium() -> str:
    """Return where Chromium is; without one, the test is skipped, or fails where it is required."""
    found = os.environ.get("OMEDA_ASYNC_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing("no chromium to start: install one, or let OMEDA_ASYNC_TEST_CHROMIUM say where it is")
    return str(found)


def origin(address: str) -> tuple[str, str]:
    """Return what two addresses have in common that belong together; of files, all do."""
    parts = urlsplit(address)
    return parts.scheme, parts.netloc


@attrs.define(slots=False)  # Playwright keeps a note of its own on whose methods it calls
class Visits:
    """The pages that one test opens, and all that went wrong in them."""

    browser: "Browser"
    complaints: list[str] = attrs.field(factory=list)
    """Errors and warnings of their consoles, what they raised, and what they asked of anybody else."""
    _contexts: "list[BrowserContext]" = attrs.field(factory=list)

    def open(
        self, address: str, *, width: int = DESK, scheme: Scheme = "light", init: str = "", **options: Any
    ) -> "Page":
        """Open a page, and return it once it has loaded.

        Args:
            address: A ``file:`` or ``http:`` URL. Nothing but its own origin can be reached from the page.
            width: Of the window, in pixels. At ``PHONE`` it is a touch screen.
            scheme: What the page is told that its reader prefers.
            init: A script that runs before those of the page.
            **options: Further ones of Playwright's ``new_context``.
        """
        size: ViewportSize = {"width": width, "height": _HEIGHTS.get(width, 800)}
        context = self.browser.new_context(
            viewport=size, color_scheme=scheme, has_touch=width == PHONE, reduced_motion="reduce", **options
        )
        self._contexts.append(context)
        context.set_default_timeout(10_000)
        context.route(re.compile(""), lambda route: self._pass(route, origin(address)))
        if init:
            context.add_init_script(init)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"raised: {error}"))
        page.on("requestfailed", self._failed)
        page.goto(address)
        return page

    def _pass(self, route: "Route", own: tuple[str, str]) -> None:
        address = route.request.url
        if origin(address) == own or urlsplit(address).scheme in _INSIDE:
            route.continue_()
        else:
            self.complaints.append(f"asked for {address}")
            route.abort()

    def _heard(self, message: "ConsoleMessage") -> None:
        if message.type in {"error", "warning", "assert"}:
            self.complaints.append(f"console: {message.text}")

    def _failed(self, request: "Request") -> None:
        if request.failure != "net::ERR_ABORTED":  # what the page itself broke off, or what was refused above
            self.complaints.append(f"failed: {request.url}: {request.failure}")

    def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            context.close()


def barriers(page: "Page") -> list[str]:
    """Return what axe-core finds that keeps people with disabilities out, one line for each place."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # noqa: PLC0415 the same

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{one['id']}: {one['help']}: {place['html']}" for one in found for place in one["nodes"]]


def sideways(page: "Page") -> int:
    """Return by how many pixels the page is wider than its window: what a reader on a phone has to scroll sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
