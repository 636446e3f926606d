"""The sandbox's page as people use it: live, on a phone and on a desk, by keyboard, and for those who do not see it."""

import asyncio
import re
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from omeda_async.sandbox import Fault, Sandbox
from tests.browser.browsing import DESK, Scheme, Visits, barriers, expect, sideways

if TYPE_CHECKING:  # an extra of its own
    from playwright.sync_api import Page

HIDDEN = "ada.lovelace@example.com"


@attrs.define
class Running:
    """A sandbox in a thread of its own, and a client of it."""

    sandbox: Sandbox
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        """Return the address of its page."""
        return f"{self.sandbox.url}/"

    def cancel(self, campaign_id: str) -> int | None:
        """Cancel a campaign, and return the status, or None where nobody answered."""
        host, port = self.sandbox.url.removeprefix("http://").split(":")
        connection = HTTPConnection(host, int(port), timeout=10)
        headers = {"Authorization": f"Bearer {self.sandbox.ocamba_token}"}
        try:
            connection.request("POST", f"/v1/hood/campaigns/{campaign_id}/cancel", b"{}", headers)
            return connection.getresponse().status
        except (HTTPException, ConnectionError):
            return None
        finally:
            connection.close()

    def run(self, work: Any) -> Any:
        """Run a coroutine where the sandbox runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)


@pytest.fixture
def running() -> Iterator[Running]:
    """Give a sandbox with some records of each kind; a test takes it first, so that its pages are closed before."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    sandbox = Sandbox()
    started = Running(sandbox, loop)
    started.run(sandbox.start())
    sandbox.ocamba.seed_campaigns(map(str, range(20)))
    sandbox.omeda.seed_deployment("FOO1", name=f"For {HIDDEN}")
    sandbox.journey_manager.seed_transaction("key-1")
    body = f'{{"ClientOptOut": [{{"EmailAddress": "{HIDDEN}"}}]}}'.encode()
    sandbox.omeda.opt_outs.apply("id", 0.0, body, {"ClientOptOut": [{"EmailAddress": HIDDEN}]})
    yield started
    started.run(sandbox.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _open(running: Running, visits: Visits, **options: Any) -> "Page":
    page = visits.open(running.url, **options)
    expect(page.locator("#connection")).to_have_text("Live")
    return page


def test_everybody_can_read_it(running: Running, visits: Visits, width: int, scheme: Scheme) -> None:
    """At both widths and in both colours axe-core finds no barrier in all there is to show, and nothing lies beside."""
    running.sandbox.fault(Fault("drop", "after", match=HIDDEN, times=None, probability=0.25))
    running.sandbox.fault(Fault("503", match="campaigns.cancel"))
    page = _open(running, visits, width=width, scheme=scheme)
    for number in range(14):
        running.cancel(str(number))
    expect(page.locator("#total")).to_have_text("14")
    for kind in ("deployments", "campaigns", "transactions", "opt-outs"):
        page.get_by_text(f"Look at {kind}").click()
    page.get_by_text("Chance, seconds, Retry-After").click()
    expect(page.get_by_role("region", name="Opt-outs")).to_contain_text("a***@example.com")
    expect(page.get_by_role("region", name="Deployments")).to_contain_text("For a***@example.com")
    expect(page.locator("#armed")).to_contain_text("drop after, a***@example.com, always, chance 25 %")
    assert (barriers(page), sideways(page)) == ([], 0)
    assert "lovelace" not in page.content()
    page.get_by_role("button", name="Reset…").click()
    assert barriers(page) == []


def test_what_arrives_is_seen_live(running: Running, visits: Visits, width: int) -> None:
    """Without a reload: the request, the sums, the windows, and the records' states."""
    page = _open(running, visits, width=width)
    expect(page.locator("#no-rows")).to_be_visible()
    assert running.cancel("3") == 204
    row = page.locator("#rows tr").first
    expect(row).to_contain_text("Ocamba campaigns.cancel")
    expect(row).to_contain_text("POST /v1/hood/campaigns/3/cancel")
    expect(row.locator(".tag")).to_have_text("204")
    expect(page.locator("#total")).to_have_text("1")
    expect(page.get_by_role("meter", name="150 in 60 seconds")).to_have_attribute("aria-valuenow", "1")
    expect(page.locator("#kinds")).to_contain_text("canceled: 1")
    expect(page.locator("#verdict")).to_have_text("✓ No limit was ever passed")
    expect(page.locator("#said")).to_contain_text("0 requests, 0 over a limit")  # told at once, and then every 10 s


def test_a_passed_limit_is_seen(running: Running, visits: Visits) -> None:
    """What was refused is marked, and what went wrong can be shown alone."""
    page = _open(running, visits)
    statuses = [running.cancel(str(number)) for number in range(20)] + [running.cancel("0")]
    assert 429 in statuses
    expect(page.locator("#refused")).to_have_text(str(statuses.count(429)))
    expect(page.locator("#verdict")).to_contain_text("✗ Over a limit")
    expect(page.locator("#rows tr")).to_have_count(21)
    page.get_by_label("Only what went wrong").check()
    expect(page.locator("#rows tr:visible")).to_have_count(sum(status != 204 for status in statuses))


def test_a_fault_is_switched_on_by_keyboard_and_the_next_request_meets_it(
    running: Running, visits: Visits, width: int
) -> None:
    """It is chosen, switched on, met, and gone, with nothing but keys."""
    page = _open(running, visits, width=width)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the faults")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("What goes wrong")).to_be_focused()
    page.keyboard.type("503")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("campaigns.cancel")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    expect(page.locator("#fault-said")).to_have_text("On: 503 before")
    expect(page.locator("#armed li")).to_contain_text("503 before, campaigns.cancel, 2 times")
    assert [running.cancel("1") for _ in range(2)] == [503, 503]
    expect(page.locator("#rows tr").first).to_contain_text("fault: 503 before")
    expect(page.locator("#happened")).to_have_text("503 before: 2")
    expect(page.locator("#none-armed")).to_be_visible()
    assert running.cancel("1") == 204


def test_one_fault_is_switched_off_and_the_focus_is_not_lost(running: Running, visits: Visits) -> None:
    """The other stays until all are switched off."""
    running.sandbox.fault(Fault("500", times=None))
    running.sandbox.fault(Fault("drop", times=None))
    page = _open(running, visits)
    page.get_by_role("button", name=re.compile("Switch off 500")).press("Enter")
    expect(page.locator("#armed li")).to_have_count(1)
    expect(page.locator("#armed-title")).to_be_focused()
    assert running.cancel("1") is None
    expect(page.locator("#rows tr").first).to_contain_text("dropped")
    page.get_by_role("button", name="Switch all off").click()
    expect(page.locator("#armed li")).to_have_count(0)
    assert running.cancel("1") == 204


def test_a_fault_that_cannot_be_says_why(running: Running, visits: Visits) -> None:
    """In the words of the sandbox, next to where it was asked for."""
    page = _open(running, visits)
    page.get_by_label("What goes wrong").select_option("slow")
    page.get_by_label("When").select_option("later")
    page.get_by_role("button", name="Switch on").click()
    expect(page.locator("#fault-said")).to_have_text("'slow' cannot happen at 'later': its response is the real one")
    assert running.sandbox.faults.armed == ()
    assert visits.complaints == [
        "console: Failed to load resource: the server responded with a status of 400 (Bad Request)"
    ]
    visits.complaints.clear()


def test_a_reset_asks_first(running: Running, visits: Visits, width: int) -> None:
    """Escape and the first button keep all; the other forgets it, and the page shows that."""
    page = _open(running, visits, width=width)
    running.cancel("1")
    expect(page.locator("#rows tr")).to_have_count(1)
    reset = page.get_by_role("button", name="Reset…")
    reset.press("Enter")
    expect(page.get_by_role("button", name="Keep all")).to_be_focused()
    page.keyboard.press("Escape")
    expect(reset).to_be_focused()
    assert len(running.sandbox.ocamba.campaigns) == 20
    reset.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Reset").press("Enter")
    expect(page.locator("#notice")).to_have_text("The sandbox was reset")
    expect(page.locator("#rows tr")).to_have_count(0)
    expect(page.locator("#total")).to_have_text("0")
    expect(page.get_by_text("Look at campaigns")).to_be_hidden()
    assert running.sandbox.ocamba.campaigns == {}


def test_a_pause_keeps_what_is_shown(running: Running, visits: Visits) -> None:
    """Nothing moves until it ends; then all is shown that has come."""
    page = _open(running, visits)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#connection")).to_have_text("Paused")
    running.cancel("1")
    expect(page.locator("#total")).to_have_text("0")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#total")).to_have_text("1")


def test_a_record_is_found_by_its_id(running: Running, visits: Visits) -> None:
    """Among however many; its state is kept up to date."""
    running.sandbox.ocamba.seed_campaigns(map(str, range(1000, 3000)))
    page = _open(running, visits)
    page.get_by_text("Look at campaigns").click()
    page.get_by_label("Campaign id to find").fill("7")
    page.keyboard.press("Enter")
    cells = page.get_by_role("region", name="Campaigns").locator("tbody td")
    expect(cells).to_have_text(["7", "running", "0", "Campaign 7"])
    running.cancel("7")
    expect(cells).to_have_text(["7", "canceled", "1", "Campaign 7"])


def test_markup_in_data_is_shown_as_text(running: Running, visits: Visits) -> None:
    """Whatever stands in ids, names, states and faults makes no element."""
    markup = "<img src=x onerror=console.error(1)>"
    running.sandbox.ocamba.seed_campaign("0-markup", name=markup).status = markup
    running.sandbox.fault(Fault("500", match=markup))
    page = _open(running, visits)
    page.get_by_text("Look at campaigns").click()
    expect(page.get_by_role("region", name="Campaigns")).to_contain_text(markup)
    expect(page.locator("#armed")).to_contain_text(markup)
    assert page.locator("img").count() == 0


def test_a_sandbox_that_stops_is_told_and_its_return_too(running: Running, visits: Visits) -> None:
    """The page waits for it, and begins anew."""
    page = _open(running, visits)
    running.sandbox.port = int(running.sandbox.url.rpartition(":")[2])
    running.run(running.sandbox.stop())
    expect(page.locator("#connection")).to_have_text("Stopped: trying again")
    page.get_by_role("button", name="Switch on").click()
    expect(page.locator("#fault-said")).to_have_text("The sandbox does not answer.")
    running.run(running.sandbox.start())
    expect(page.locator("#connection")).to_have_text("Live")
    assert all("ERR_" in one for one in visits.complaints)
    visits.complaints.clear()


def test_who_finds_all_places_taken_is_told(running: Running, visits: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    """And let in as soon as there is room."""
    monkeypatch.setattr("omeda_async.sandbox._watch.MOST_READERS", 0)
    page = visits.open(running.url, width=DESK)
    expect(page.locator("#connection")).to_have_text("Not let in: trying again")
    monkeypatch.undo()
    expect(page.locator("#connection")).to_have_text("Live", timeout=10_000)
    assert all("status of 503" in one for one in visits.complaints)
    visits.complaints.clear()
