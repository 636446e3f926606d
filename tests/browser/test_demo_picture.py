"""The cast of the demo, as the README shows it: it moves by CSS alone, and stands still for who wants that."""

import re
from pathlib import Path

from tests.browser.browsing import Visits

PICTURE = Path(__file__).parents[2] / "docs" / "demo.svg"
SEEN = """() => [...document.querySelectorAll('.frame')].filter(one => getComputedStyle(one).visibility === 'visible')
    .map(one => one.textContent)"""
AT = "time => document.getAnimations().forEach(one => { one.pause(); one.currentTime = time; })"
END = "Never over a limit, no 429; the counts add up, and every one is accounted for."


def words(text: str) -> str:
    """Return a text with plain blanks."""
    return text.replace("\u00a0", " ")


def test_the_picture_is_small_and_refers_to_nothing() -> None:
    """No script, nothing from elsewhere."""
    text = PICTURE.read_text("utf-8")
    assert len(text) < 300_000
    assert (
        re.findall(
            r"<script|<image|href=|@import|https?://(?!127\.0\.0\.1:|www\.(?:w3\.org/2000/svg|textualize))", text
        )
        == []
    )


def test_who_wants_nothing_to_move_sees_the_end(visits: Visits) -> None:
    """And whoever draws it without animations does."""
    page = visits.open(PICTURE.as_uri())
    assert page.evaluate("document.getAnimations().length") == 0
    (end,) = page.evaluate(SEEN)
    assert END in words(end)


def test_the_cast_shows_one_frame_after_the_other_and_ends_with_its_end(visits: Visits) -> None:
    """The command, bars that grow, the audit; and it does not go on for ever."""
    page = visits.open(PICTURE.as_uri())
    page.emulate_media(reduced_motion="no-preference")
    frames = page.locator(".frame").count()
    assert frames > 20
    shown = []
    for number in range(frames):
        page.evaluate(AT, (number + 0.5) * 1000 / 3)
        (frame,) = page.evaluate(SEEN)
        shown.append(words(frame))
    assert shown[0].strip() == "$ omeda-async demo"
    assert END in shown[-1]
    assert not any(END in frame for frame in shown[:-1])
    done = [int(one[1]) for one in (re.search(r"(\d+)/180", frame) for frame in shown) if one]
    assert done == sorted(done)
    assert len(set(done)) > 15
    page.evaluate(AT, 3_600_000)
    (last,) = page.evaluate(SEEN)
    assert END in words(last)
