"""A browser for each module, and for each test what it opens in it; a test fails for whatever a page complained of."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.browsing import DESK, PHONE, Scheme, Visits, chromium, missing

if TYPE_CHECKING:  # an extra of its own
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Give a Chromium; it ends with the module, as asyncio's tests cannot run beside Playwright's loop."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 an extra of its own
    except ModuleNotFoundError:
        missing("no Playwright: install the extra 'browser'")
    program = chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.fixture
def visits(browser: "Browser") -> Iterator[Visits]:
    """Give what opens pages, and fail where one of them had an error or asked for anything of the network."""
    opened = Visits(browser)
    yield opened
    opened.close()
    assert opened.complaints == []


@pytest.fixture(params=[PHONE, DESK])
def width(request: pytest.FixtureRequest) -> int:
    """Give the width of a phone's window, and of one on a desk."""
    return int(request.param)


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Scheme:
    """Give what a reader may prefer."""
    found: Scheme = request.param
    return found
