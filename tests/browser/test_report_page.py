"""The page of a run, in a browser: readable on a phone and on a desk, with a keyboard alone, and with many records."""

from pathlib import Path
from typing import Any

import pytest

from omeda_async import OutcomeStatus
from omeda_async.report._failures import Failures
from omeda_async.report._story import Step
from tests.browser.browsing import PHONE, Scheme, Visits, barriers, expect, sideways
from tests.report.pages import page

LINE = "omeda-async cancel-campaigns 'my ids.csv' --journal run.sqlite3 --yes"
STEP = Step(why="Go on where the run stopped.", line=LINE, note="Put in what was there.")
CAUSES = (
    (OutcomeStatus.REJECTED, "NotFound", "campaign {} does not exist"),
    (OutcomeStatus.UNKNOWN, "AnswerLost", "the answer was lost"),
    (OutcomeStatus.FAILED, "RateLimited", "Too many requests <b>for</b> bert@x.com </script><script>alert(1)</script>"),
)
WAIT = {"times": 3, "seconds": 9.5, "longest": 4.0}
TIMELINE = {
    "width": 0.5,
    "seconds": 90.0,
    "sent": [5, 5] * 40,
    "answers": {"done": [4, 5] * 40, "refused": [1, 0] * 40, "limited": [0, 1], "broken": [], "lost": []},
    "paused": [0.0] * 80 + [0.5] * 20,
    "windows": [
        {"calls": 10, "seconds": 1.0, "peaks": [8] * 80 + [0] * 100},
        {"calls": 150, "seconds": 60.0, "peaks": [*range(150)] + [148] * 30},
    ],
    "waits": {"limit": WAIT, "asked": WAIT, "pauses": WAIT, "answers": WAIT, "retries": {"AnswerLost": WAIT}},
}
CLIPBOARD = "window.copied = []; navigator.clipboard.writeText = async (text) => { window.copied.push(text); };"


def written(folder: Path, records: int, **more: Any) -> str:
    """Write a page with so many records that are not done, and return its address."""
    failures = Failures(word="row")
    for number in reversed(range(records)):  # outcomes come in no order
        status, error, words = CAUSES[number % len(CAUSES)]
        name = f"c{number:06}"
        failures.add(status, number + 2, names=(name,), attempts=number % 4, error=error, message=words.format(name))
    told = {"timeline": TIMELINE, "steps": [STEP], "seconds": 90.0, "under_way": 3} | more
    path = folder / "run.html"
    path.write_text(page(failures, **told), encoding="utf-8")
    return path.as_uri()


def test_the_page_can_be_read_by_everybody(visits: Visits, tmp_path: Path, width: int, scheme: Scheme) -> None:
    """At every width and in both schemes: axe-core finds nothing, and nothing is wider than the window."""
    opened = visits.open(written(tmp_path, 12), width=width, scheme=scheme)
    expect(opened.get_by_role("heading", level=1)).to_have_text("Cancel campaigns at Ocamba")
    expect(opened.get_by_role("img")).to_have_count(4)
    expect(opened.get_by_role("row", name="c000000")).to_be_visible()
    opened.get_by_text("The figures as a table").click()
    assert (barriers(opened), sideways(opened)) == ([], 0)


def test_texts_of_the_data_are_shown_as_they_are(visits: Visits, tmp_path: Path) -> None:
    """What looks like HTML is none, and addresses are masked."""
    opened = visits.open(written(tmp_path, 3))
    cell = opened.get_by_role("cell", name="Too many requests")
    expect(cell).to_have_text("Too many requests <b>for</b> b***@x.com </script><script>alert(1)</script>")
    expect(opened.locator("#causes b, #table b")).to_have_count(0)


def test_a_hundred_thousand_records_are_searched_and_sorted(visits: Visits, tmp_path: Path, width: int) -> None:
    """A page of them is in the document at a time; what is sought is found among all."""
    opened = visits.open(written(tmp_path, 100_000), width=width)
    rows, status = opened.locator("#table tbody tr"), opened.locator("#found")
    expect(status).to_have_text("100,000 records")
    assert rows.count() == (20 if width == PHONE else 50)
    opened.get_by_role("button", name="Name").click()
    opened.get_by_role("button", name="Name").click()
    expect(rows.first).to_contain_text("c099999")
    opened.get_by_label("Search").fill("c012345")
    expect(status).to_have_text("1 of 100,000 records")
    expect(rows.first).to_contain_text("12,347")
    opened.get_by_label("Search").fill("LOST")
    expect(status).to_have_text("33,333 of 100,000 records")
    opened.get_by_role("combobox", name="Outcome").select_option("rejected")
    expect(status).to_have_text("0 of 100,000 records")


def test_everything_can_be_done_with_the_keyboard(visits: Visits, tmp_path: Path) -> None:
    """Copy the command, show one cause, search, sort and turn the page, with Tab, Enter and letters alone."""
    opened = visits.open(written(tmp_path, 300), init=CLIPBOARD)
    keys = opened.keyboard

    def to(name: str, presses: int = 40) -> None:
        for _ in range(presses):
            keys.press("Tab")
            focused = opened.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).innerText ?? ''")
            if focused.strip() == name:
                return
        pytest.fail(f"no Tab leads to {name}")

    to("Copy the command")
    keys.press("Enter")
    expect(opened.locator("#copied")).to_have_text("Copied.")
    assert opened.evaluate("window.copied") == [LINE]
    to("Show")
    keys.press("Enter")
    expect(opened.locator("#found")).to_have_text("100 of 300 records")
    to("Show all causes")
    keys.press("Enter")
    expect(opened.get_by_label("Search")).to_be_focused()
    keys.type("answer was lost")
    expect(opened.locator("#found")).to_have_text("100 of 300 records")
    to("Tries")
    keys.press("Enter")
    keys.press("Enter")
    expect(opened.locator("th[aria-sort=descending]")).to_have_text("Tries")
    expect(opened.locator("#table tbody tr").first.get_by_role("cell").last).to_have_text("3")
    to("Next")
    keys.press("Enter")
    expect(opened.locator("#page")).to_have_text("Page 2 of 2")


def test_what_a_journal_does_not_know_is_not_drawn(visits: Visits, tmp_path: Path) -> None:
    """Its runs stand on the time line, and no waits are shown."""
    run = {"started": "2026-01-01T10:00:00+00:00", "requests": 70, "cause": ""}
    runs = [
        run | {"ended": None, "state": "killed"},
        run | {"started": "2026-01-02T11:00:00+00:00", "ended": "2026-01-02T11:02:00+00:00", "state": "complete"},
    ]
    opened = visits.open(written(tmp_path, 2, timeline=None, runs=runs, seconds=None), width=PHONE)
    expect(opened.get_by_text("killed, not known when")).to_be_visible()
    expect(opened.get_by_role("img", name="2 runs; the last one is complete.")).to_be_visible()
    expect(opened.get_by_role("heading", name="What the run waited for")).to_be_hidden()
    assert (barriers(opened), sideways(opened)) == ([], 0)


def test_without_a_script_the_sums_can_be_read(visits: Visits, tmp_path: Path, width: int) -> None:
    """And no heading stands over nothing."""
    opened = visits.open(written(tmp_path, 12), width=width, java_script_enabled=False)
    expect(opened.get_by_text("7 done")).to_be_visible()
    expect(opened.get_by_text(LINE)).to_be_visible()
    expect(opened.get_by_role("heading")).to_have_text(["Cancel campaigns at Ocamba", "What became of the records"])
    expect(opened.get_by_role("link")).to_have_count(0)


def test_who_magnifies_the_page_need_not_scroll_sideways(visits: Visits, tmp_path: Path) -> None:
    """At 320 pixels, which is 1,280 four times as large; with figures that are long."""
    long = {"times": 10**7, "seconds": 1e9, "longest": 1e7}
    waits = TIMELINE | {"waits": {"limit": long, "asked": long, "pauses": long, "answers": long, "retries": {}}}
    opened = visits.open(written(tmp_path, 12, timeline=waits, seconds=9e7, requests=10**9), width=320)
    expect(opened.get_by_text("1,041 d 16 h")).to_be_visible()
    assert sideways(opened) == 0
    tiles = opened.locator("#tiles li")
    assert tiles.evaluate_all("tiles => tiles.filter(one => one.scrollWidth > one.clientWidth).length") == 0


def test_a_printed_page_can_be_read(visits: Visits, tmp_path: Path) -> None:
    """Dark on light whatever its reader prefers, with the heads of the table, and without what cannot be pressed."""
    opened = visits.open(written(tmp_path, 60), scheme="dark")
    opened.emulate_media(media="print", color_scheme="dark")
    expect(opened.locator("body")).to_have_css("color", "rgb(27, 31, 36)")
    expect(opened.get_by_role("button", name="Outcome")).to_be_visible()
    expect(opened.locator("#page")).to_have_text("Page 1 of 2")
    expect(opened.locator("#page")).to_be_visible()
    for name in ("Copy the command", "Next"):
        expect(opened.get_by_role("button", name=name)).to_be_hidden()


def test_the_colours_of_a_legend_are_seen_where_colours_are_forced(visits: Visits, tmp_path: Path) -> None:
    """They are what it tells of."""
    opened = visits.open(written(tmp_path, 3), forced_colors="active")
    expect(opened.locator(".swatch[data-kind=done]").first).to_have_css("background-color", "rgb(26, 127, 55)")


def test_a_line_can_be_copied_without_a_clipboard(visits: Visits, tmp_path: Path) -> None:
    """It is selected; and the page says whether it has been copied, or how to."""
    refused = (
        "navigator.clipboard.writeText = async () => { throw new Error('no'); }; document.execCommand = () => false;"
    )
    opened = visits.open(written(tmp_path, 3), init=refused)
    opened.get_by_role("button", name="Copy the command").click()
    expect(opened.locator("#copied")).to_have_text("It is selected: copy it with your keyboard.")
    assert opened.evaluate("getSelection().toString()") == LINE


@pytest.mark.parametrize("sought", ["12,347", "12347", "ZOE\u0308   de", " campaign 9"])
def test_what_is_sought_may_be_written_otherwise(visits: Visits, tmp_path: Path, sought: str) -> None:
    """Numbers as the table shows them, accents apart from their letters, blanks of any kind."""
    failures = Failures(word="row")
    for number, name in ((12347, "Zo\u00eb\nde"), (3, "other")):
        words = "no\tcampaign  9" if number > 3 else "broken"
        failures.add(OutcomeStatus.FAILED, number, names=(name,), attempts=1, error="E", message=words)
    if not sought.startswith("1"):
        failures.add(OutcomeStatus.FAILED, 12346, names=("other",), attempts=1, error="E", message="broken")
    path = tmp_path / "run.html"
    path.write_text(page(failures), encoding="utf-8")
    opened = visits.open(path.as_uri())
    opened.get_by_label("Search").fill(sought)
    expect(opened.locator("#found")).to_contain_text("1 of ")
    expect(opened.locator("#table tbody tr")).to_contain_text("12,347")


def test_runs_whose_clock_went_back_stand_within_the_time_line(visits: Visits, tmp_path: Path) -> None:
    """Of very many, the latest are shown."""
    run = {"started": "2026-01-01T10:00:00+00:00", "requests": 70, "cause": "", "state": "complete"}
    runs = [run | {"ended": "2026-01-01T10:01:00+00:00"}] * 100
    runs += [run | {"ended": "2026-01-01T09:00:00+00:00"}]
    runs += [run | {"started": "2025-06-01T10:00:00+00:00", "ended": "2025-06-01T10:02:00+00:00"}]
    opened = visits.open(written(tmp_path, 2, timeline=None, runs=runs, seconds=None))
    expect(opened.get_by_text("complete, with its clock set back; 70 requests")).to_be_visible()
    expect(opened.locator("ol.runs li")).to_have_count(40)
    expect(opened.get_by_text("the latest 40 of the 102 runs")).to_be_visible()
    drawn = opened.locator("#charts rect").evaluate_all("all => all.map(one => Number(one.getAttribute('x')))")
    assert min(drawn) >= 0
    assert "-" not in opened.locator("ol.runs").inner_text().replace("2026-01-01", "").replace("2025-06-01", "")


def test_a_run_with_nothing_left_is_short(visits: Visits, tmp_path: Path) -> None:
    """No causes, no records, no command; and no window where the limit is a pace."""
    empty = TIMELINE | {"windows": []}
    opened = visits.open(written(tmp_path, 0, steps=[], timeline=empty))
    expect(opened.get_by_text("There is no window to compare with")).to_be_visible()
    for name in ("How to go on", "Why records are not done", "Records that are not done"):
        expect(opened.get_by_role("heading", name=name)).to_be_hidden()
