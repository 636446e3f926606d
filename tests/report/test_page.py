"""The page: one file that asks nobody for anything, and in which no text of the data is anything but text."""

import asyncio
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from omeda_async import ClientOptOut, JournalError, OmedaSettings, OutcomeStatus, SessionManager, report
from omeda_async._row import Row
from omeda_async.bulk.journal import reading
from omeda_async.bulk.journal.codec import result_of
from omeda_async.bulk.journal.interface import Kept
from omeda_async.report import _failures
from omeda_async.report._failures import Failures, names_of
from omeda_async.report._story import Step
from tests.report.pages import data_in, page

HOSTILE = "</script><script>alert(1)</script><!-- <b>&amp; \u2028 {title} {style}"


def failed(*texts: str, name: str = "x1") -> Failures:
    """Return records that were rejected with these words."""
    found = Failures()
    for number, text in enumerate(texts, 1):
        found.add(OutcomeStatus.REJECTED, number, names=(name,), attempts=1, error="BadRequest", message=text)
    return found


def test_no_text_of_the_data_can_end_their_element() -> None:
    """Words of a provider, names and titles come back as they were, and no tag of theirs is in the page."""
    text = page(failed(HOSTILE, name=HOSTILE), notes=[HOSTILE], cause=HOSTILE)
    found = data_in(text)
    assert found["notes"] == [HOSTILE]
    assert found["failures"]["rows"][0][1] == HOSTILE
    assert text.count("<script") == text.count("</script>") == 2
    assert "alert(1)</" not in text


def test_a_text_about_the_run_is_not_shown_without_end() -> None:
    """Masked first, so that no half of an address is left; of a line for a shell, all."""
    text = f"{'bert@x.com ' * 10_000}ada@x.com"
    line = f"omeda-async {'x' * 10_000}"
    found = data_in(page(failed(), notes=[text], cause=text, place=text, title=text, steps=[Step(why="x", line=line)]))
    assert [len(one) for one in (found["notes"][0], found["cause"], found["place"])] == [4_001] * 3
    assert found["notes"][0].startswith("b***@x.com b***@x.com")
    assert found["steps"][0]["line"] == line


def test_without_a_script_the_sums_are_in_the_page() -> None:
    """As text: how it ended, what became of the records, and the line that goes on."""
    steps = [Step(why="Go on.", line="omeda-async x 'a<b'")]
    more = {"cause": "<b>no", "under_way": 2, "place": "<i>", "requests": 1234}
    (plain,) = re.findall('<div id="plain">(.*?)</div>', page(failed("x"), steps=steps, **more), re.DOTALL)
    assert "<p>&lt;i&gt; · stopped</p>" in plain
    assert "Ended early: &lt;b&gt;no" in plain
    sums = ("10 records", "7 done", "1 rejected", "2 without an outcome", "1,234 requests")
    assert re.findall("<li>(.*?)</li>", plain) == [*sums]
    assert "<pre>omeda-async x &#x27;a&lt;b&#x27;</pre>" in plain


def test_a_title_is_text_as_well() -> None:
    """It stands in the page's own HTML, too."""
    assert "<title>&lt;b&gt;x</title>" in page(failed(), title="<b>x")


def test_the_page_may_use_its_own_style_and_script_alone() -> None:
    """The policy names them by their hashes, and forbids everything else."""
    text = page(failed())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    for tag, name in (("style", "style-src"), ("script", "script-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = b64encode(sha256(inside.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1]


def test_the_page_refers_to_nothing_outside() -> None:
    """No address of anything that a browser would load."""
    text = page(failed())
    assert re.findall(r"(?:src|href)=\"(?!#)", text) == []
    assert re.findall(r"url\(|@import|innerHTML|insertAdjacent", text) == []
    assert set(re.findall(r"https?://[^\s\"';]+", text)) == {"http://www.w3.org/2000/svg"}


def test_addresses_are_masked_wherever_they_stand() -> None:
    """In names, causes, notes and lines."""
    text = page(failed("no such bert@x.com", name="bert@x.com"), notes=["ask bert@x.com"], cause="bert@x.com is out")
    assert "bert@x.com" not in text
    assert data_in(text)["failures"]["rows"][0][1] == "b***@x.com"


def test_a_line_for_a_shell_is_shown_as_it_is() -> None:
    """Its words were masked one by one: what stands before an @ in a URL is no address."""
    line = "omeda-async status postgresql://HIDDEN@db/x?run=y"
    assert data_in(page(failed(), steps=[Step(why="See.", line=line)]))["steps"][0]["line"] == line


def test_causes_that_differ_in_the_records_name_alone_are_one() -> None:
    """The provider's words for each are the same but for it."""
    found = Failures()
    for number in range(3):
        names = (f"10{number:05}", f"a{number}@x.com")
        words = "no campaign {} of {}".format(*names)
        found.add(OutcomeStatus.REJECTED, number, names=names, attempts=1, error="NotFound", message=words)
    assert found.causes() == [["rejected", "NotFound", "no campaign … of …"]]
    assert found.counts == {0: 3}


def test_more_records_than_a_page_lists_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """So are causes that are not told apart any more."""
    monkeypatch.setattr(_failures, "LISTED", 2)
    monkeypatch.setattr(_failures, "CAUSES", 3)
    found = data_in(page(failed("one", "two", "three", "four", "five")))["failures"]
    assert (found["total"], len(found["rows"])) == (5, 2)
    assert sum(found["counts"]) == 5
    assert len(found["causes"]) == 4


@pytest.mark.parametrize(
    ("record", "key", "names"),
    [
        ("c1", None, ["c1"]),
        (17, None, ["17"]),
        ({"campaign_id": "c1"}, None, ["c1"]),
        ({"campaign_id": "c1", "key": "mine"}, "mine", ["mine", "c1"]),
        ({"email_address": "a@x.com", "key": ""}, None, ["a@x.com"]),
        (ClientOptOut("a@x.com", key="mine"), None, ["mine", "a@x.com"]),
        ({"other": "x", "id": ["y"]}, None, []),
        (Row(3, ValueError("no"), None, "mine"), "mine", ["mine"]),
        (None, None, []),
        (object(), None, []),
    ],
)
def test_a_record_is_called_by_its_key_else_by_what_it_is_about(record: object, key: object, names: list[str]) -> None:
    """An id or an address; nothing where there is none."""
    assert names_of(record, key) == names


def test_half_a_surrogate_does_not_keep_the_page_from_being_written() -> None:
    """It is spelt out."""
    found = data_in(page(failed("bad \ud800", name="x\udfff")))
    assert found["failures"]["rows"][0][1] == "x\\udfff"
    assert found["failures"]["causes"][0][2] == "bad \\ud800"


def test_the_journal_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As whoever reads one is told."""
    with pytest.raises(JournalError, match="there is no journal"):
        report.report_page(tmp_path / "run.sqlite3")


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("k1234", "no k1234 here", "no … here"),
        ("k12", "no k12 here", "no k12 here"),
        ("a@b", "no a@b here", "no … here"),
        ("ann@x.com", "no ann%40x.com, ann@x.com", "no a***%40x.com, …"),
        ("ann@x.com", "no such brand", "no such brand"),
        ("my-key", "no my-key here", "no … here"),
        ("my\u202ekey", "no my\u202ekey here", "no … here"),
        ("ключ", "no ключ here", "no … here"),
    ],
)
def test_a_records_own_name_in_a_cause_is_left_out(name: str, words: str, told: str) -> None:
    """As both are shown: masked, and without what turns a text; a short one may stand there by chance."""
    found = Failures()
    for more in ("zzzz", name):
        found.add(OutcomeStatus.FAILED, 1, names=("first", more), attempts=1, error="E", message=words)
    assert found.causes()[-1] == ["failed", "E", told]


def test_a_reason_that_many_records_share_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of 100,000 of them is made in a second or two."""
    made: list[Kept] = []

    def counted(kept: Kept) -> Any:
        made.append(kept)
        return result_of(kept)

    monkeypatch.setattr(reading, "result_of", counted)
    journal = tmp_path / "run.sqlite3"
    asyncio.run(refused(journal, 300))
    found = data_in(report.report_page(journal))["failures"]
    assert (found["total"], len(found["causes"]), len(made)) == (300, 1, 1)


async def refused(journal: Path, count: int) -> None:
    """Have records refused, and kept in a journal."""
    settings = OmedaSettings(app_id="an-app-id", client="c", base_url="http://127.0.0.1:9")
    records = [{"email_address": f"no address{number:03}"} for number in range(count)]
    async with SessionManager(omeda=settings) as manager:
        await manager.omeda.opt_outs.submit_many(records, journal=journal)
