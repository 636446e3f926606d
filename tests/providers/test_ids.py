"""Which ids are sent: those that may be one, on every way in, and exactly as they were given."""

import io
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from omeda_async import (
    BasicAuth,
    BrandOptOut,
    CampaignCancel,
    DeploymentCancel,
    InvalidRecord,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    SessionManager,
    TransactionCancel,
)
from omeda_async._characters import named
from omeda_async.providers._fields import check_id
from omeda_async.rows import CAMPAIGNS, OPT_OUTS, RowFile
from tests.providers.characters import GAPS, unseen

COMMENT = "begins with # as a comment does: give the id alone"
FORMULA = "begins with = as a formula of a spreadsheet does: give the id alone"
BEHIND = "has a comment behind it: put that on a line of its own, which begins with #"
QUOTE = "begins with a quotation mark or an apostrophe: remove it"
EXPONENT = "is a number with an exponent (such as 1.0E+06): give all its digits"
DECIMAL = "is a number with a decimal point (such as 1000248.0): give the digits before it"
THOUSANDS = "is a number with marks between its thousands (such as 1,000,248): give the digits alone"
PLACEHOLDER = "holds a placeholder that nothing was put in for: give the id itself"
ALONE = "give one id, and each of several in a record of its own"
SEVERAL = f"holds a mark that separates ids: {ALONE}"
BESIDE = "has a mark beside it that separates ids: remove it"
DOUBT = f"may be one number (such as 1,000,248) or several ids: {ALONE}, without marks between thousands"
QUOTED = f"holds several texts in quotation marks: {ALONE}"
CUT = "is cut short with {}: give the whole id"
LIST = f"begins with [ as a list of JSON does: {ALONE}"
WRONG = {
    "1000\u200b248": "holds U+200B zero-width space at character 5: remove it",
    "10002\u00ad49": "holds U+00AD soft hyphen at character 6: remove it",
    "\ufeff1000248": "holds U+FEFF zero-width no-break space at character 1: remove it",
    "1000248\u202c": "holds U+202C pop directional formatting at character 8: remove it",
    "FOO\u200e1": "holds U+200E left-to-right mark at character 4: remove it",
    "FOO\u30641\ufe0f": "holds U+FE0F variation selector-16 at character 6: remove it",
    "FOO\u31641": f"holds U+3164 hangul filler at character 4: {ALONE}",
    "BAR\ufffd1": "holds U+FFFD replacement character at character 4: a decoder has damaged it; see its source",
    "FOO 1": f"holds U+0020 space at character 4: {ALONE}",
    " FOO1": "holds U+0020 space at character 1: remove it",
    "FOO1\n": "holds U+000A control character (line feed) at character 5: remove it",
    "FOO\r1": f"holds U+000D control character (carriage return) at character 4: {ALONE}",
    "FOO\u00a01": f"holds U+00A0 no-break space at character 4: {ALONE}",
    "FOO\u20281": f"holds U+2028 line separator at character 4: {ALONE}",
    "１000248": "holds U+FF11 fullwidth digit one at character 1: write 1",  # noqa: RUF001 on purpose
    "FOO\u20131": "holds U+2013 en dash at character 4: write the plain character",
    "FOO\u20101": "holds U+2010 hyphen at character 4: write the plain character",
    "1\u066c000": "holds U+066C arabic thousands separator at character 2: write the plain character",
    "F\u041e\u041e1": (
        "holds U+041E cyrillic capital letter o at character 2, among letters of another alphabet: write all in one"
    ),
    "100024\u0668": (
        "holds U+0668 arabic-indic digit eight at character 7, among digits of another alphabet: write all in one"
    ),
    "1000\u0336248": "holds U+0336 combining long stroke overlay at character 5, which belongs to no letter: remove it",
    "1000\u20e3": "holds U+20E3 combining enclosing keycap at character 5, which belongs to no letter: remove it",
    "\u0301FOO1": "holds U+0301 combining acute accent at character 1, which belongs to no letter: remove it",
    "FOO\ufffc1": "holds U+FFFC object replacement character at character 4: remove it",
    "FOO\U0001d1591": "holds U+1D159 musical symbol null notehead at character 4: remove it",
    "z\u00c3\u00bc": (
        "holds U+00C3 latin capital letter a with tilde at character 2, as UTF-8 does that was read as cp1252: "
        "see its source"
    ),
    "{{campaign_id}}": PLACEHOLDER,
    "${CAMPAIGN}": PLACEHOLDER,
    "%%id%%": PLACEHOLDER,
    "x" * 1001: "has 1,001 characters, and no id so many: is a quotation mark not closed?",
    "\u0436" * 100_000: "has 100,000 characters, and no id so many: is a quotation mark not closed?",
    "zu\u0308": (
        "has an accent apart from its letter at character 2: write both as one character (NFC), or the letter alone"
    ),
    "1000248 # spring": BEHIND,
    "1000248  // spring": BEHIND,
    "# campaigns to cancel": COMMENT,
    "  #1000248": COMMENT,
    '="1000248"': FORMULA,
    "'1000248": QUOTE,
    '"1000248"': QUOTE,
    "<1000248>": "stands between < and >: give the id alone",
    "https://example.com/campaigns/1000248": "is a link: give the id alone",
    "1.0E+06": EXPONENT,
    "1,0E+06": EXPONENT,
    "1E+06": EXPONENT,
    "1.000248e6": EXPONENT,
    "1e+06": EXPONENT,
    "-1.5E-06": EXPONENT,
    "1000248.0": DECIMAL,
    "1000248.00": DECIMAL,
    "1000248,0": DECIMAL,
    "1000248.": DECIMAL,
    "1,000,248": DOUBT,
    "nan": "is 'nan', as programs write an empty cell: give the id",
    "NaN": "is 'NaN', as programs write an empty cell: give the id",
    "None": "is 'None', as programs write an empty cell: give the id",
    "NULL": "is 'NULL', as programs write an empty cell: give the id",
    "1,000": DOUBT,
    "1.000.248": THOUSANDS,
    "1'000'248": THOUSANDS,
    "1\u2019000\u2019248": THOUSANDS,
    "1 000 248": DOUBT,
    "1\u00a0000\u00a0248": DOUBT,
    "1\u202f000\u202f248": DOUBT,
    "1,000,248.00": THOUSANDS,
    "1000248,1000249": SEVERAL,
    "FOO1, FOO2": SEVERAL,
    "FOO1;FOO2": SEVERAL,
    "FOO1|FOO2": SEVERAL,
    "FOO1,": BESIDE,
    "1000248,": BESIDE,
    ";1000248": BESIDE,
    ",1000248,1000249": SEVERAL,
    "100 101": DOUBT,
    "100,101": DOUBT,
    "1e6": EXPONENT,
    "9E12": EXPONENT,
    '"1","2"': QUOTED,
    "'FOO1'; 'FOO2'": QUOTED,
    "\u201c1\u201d \u201c2\u201d": QUOTED,
    '["1", "2"]': LIST,
    "[1000248]": LIST,
    "1000248\u2026": CUT.format("\u2026"),
    "\u2026248": CUT.format("\u2026"),
    "1000248...": CUT.format("..."),
    "<br>": f"holds <br> as a page does: {ALONE}",
    "1000248<br/>1000249": f"holds <br> as a page does: {ALONE}",
    "<p>1000248</p>": f"holds <p> as a page does: {ALONE}",
    "1000248>": f"holds < or >: {ALONE}",
    "&shy;1000248": "has &shy; as a page writes U+00AD soft hyphen: remove it",
    "1000248&nbsp;": "has &nbsp; as a page writes U+00A0 no-break space: remove it",
    "1000248&#32;1000249": f"has &#32; as a page writes U+0020 space: {ALONE}",
    "FOO&amp;1": "has &amp; as a page writes a character: write the character",
    "true": "is 'true', as programs write a truth value: give the id",
    "FALSE": "is 'FALSE', as programs write a truth value: give the id",
    "N/A": "is 'N/A', as programs write an empty cell: give the id",
    "": "is empty: give the id",
    " \u00a0": "is empty: give the id",
    "FOO\ud8001": "holds half a surrogate pair, which no JSON can carry: remove it",
}
GOOD = (
    "1000248",
    "FOO0200300027",
    "12345678e9012345",
    "9cf3a2b1-0e06-4b7e-9d7c-0a1b2c3d4e5f",
    "1e-06",
    "1.234",
    "1.5",
    "v1.0.1",
    "a/b?c%23#d",
    "..a",
    "zü",
    "x=1",
    "abc+def/ghi==",
    "{1000248}",
    "x" * 1000,
    "a%20b",
    "a:b@c",
    "nana",
    "None-1",
    "true1",
    "10e6",
    "1e6a",
    "a&b",
    "Name",
)


def _file(kind: Any, text: str, name: str) -> RowFile:
    return RowFile(kind, lambda: io.BytesIO(text.encode("utf-8", "surrogatepass")), name)


@pytest.mark.parametrize(("value", "reason"), WRONG.items(), ids=[ascii(one[:40]) for one in WRONG])
def test_what_cannot_be_an_id_is_told_by_its_character_or_form(value: str, reason: str) -> None:
    """What an editor or a spreadsheet has added, or has made of it."""
    with pytest.raises(InvalidRecord) as caught:
        check_id("campaign_id", value)
    assert (caught.value.field, caught.value.reason) == ("campaign_id", reason)


@pytest.mark.parametrize("value", GOOD, ids=ascii)
def test_what_may_be_an_id_is_left_to_the_provider(value: str) -> None:
    """Its documents do not say how ids are made."""
    check_id("campaign_id", value)


def refusal_of(value: str) -> str | None:
    """Return why an id is refused; None where it is sent."""
    try:
        check_id("campaign_id", value)
    except InvalidRecord as error:
        return error.reason
    return None


def test_every_character_that_unicode_lets_nobody_see_is_refused() -> None:
    """One by one, inside and at both ends."""
    for character in unseen():
        reason = f"holds {named(character)} at character {{}}: {{}}"
        assert refusal_of(f"{character}1000248") == reason.format(1, "remove it")
        assert refusal_of(f"1000{character}248") == reason.format(5, ALONE if character in GAPS else "remove it")
        assert refusal_of(f"1000248{character}") == reason.format(8, "remove it")


@given(st.characters(), st.sampled_from(["{}1000248", "1000{}248", "FOO{}1", "FOO1{}"]))
def test_an_id_is_sent_only_if_all_of_it_is_seen(character: str, form: str) -> None:
    """By the categories of Unicode; and nothing else is refused without a word that names it."""
    reason = refusal_of(form.format(character))
    if unicodedata.category(character) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}:
        assert reason is not None
    assert reason is None or reason.isprintable()


def _manager() -> SessionManager:
    return SessionManager(
        omeda=OmedaSettings(app_id="the app id", brand="B", client="c", user_id="u"),
        ocamba=OcambaSettings(token="the token"),
        journey_manager=JourneyManagerSettings(base_url="https://h.example", auth=BasicAuth("a user", "a password")),
    )


BAD = "1000\u200b248"
REASON = "holds U+200B zero-width space at character 5: remove it"


@pytest.mark.parametrize(
    ("field", "run"),
    [
        ("campaign_id", lambda manager: manager.ocamba.campaigns.cancel_many([BAD])),
        ("campaign_id", lambda manager: manager.ocamba.campaigns.cancel_many([{"id": BAD}])),
        ("campaign_id", lambda manager: manager.ocamba.campaigns.cancel_many([CampaignCancel(BAD)])),
        ("campaign_id", lambda manager: manager.ocamba.campaigns.cancel_many(_file(CAMPAIGNS, BAD, "ids.txt"))),
        ("campaign_id", lambda manager: manager.ocamba.campaigns.cancel_many(_file(CAMPAIGNS, f"id\n{BAD}", "a.csv"))),
        ("campaign_id", lambda manager: manager.ocamba.campaigns.cancel_many(_file(CAMPAIGNS, f'"{BAD}"', "a.jsonl"))),
        ("track_id", lambda manager: manager.omeda.deployments.cancel_many([BAD])),
        ("track_id", lambda manager: manager.omeda.deployments.cancel_many([DeploymentCancel(BAD)])),
        ("submit_key", lambda manager: manager.journey_manager.transactions.cancel_many([BAD])),
        ("submit_key", lambda manager: manager.journey_manager.transactions.cancel_many([TransactionCancel(BAD)])),
        ("brand_ids", lambda manager: manager.omeda.opt_outs.submit_many([BrandOptOut("a@example.com", [BAD])])),
        (
            "brand_ids",
            lambda manager: manager.omeda.opt_outs.submit_many([{"email": "a@example.com", "BrandId": ["X", BAD]}]),
        ),
        (
            "brand_ids",
            lambda manager: manager.omeda.opt_outs.submit_many(
                _file(OPT_OUTS, f"email,BrandId\na@example.com,X|{BAD}", "a.csv")
            ),
        ),
        (
            "deployment_type_ids",
            lambda manager: manager.omeda.opt_outs.submit_many(
                _file(OPT_OUTS, f"email,DeploymentTypeId\na@example.com,{BAD}", "a.csv")
            ),
        ),
    ],
)
async def test_an_id_is_judged_on_every_way_in(field: str, run: Callable[[SessionManager], Any]) -> None:
    """The plan names the field and the character, and nothing would be sent for it."""
    plan = await run(_manager()).plan()
    assert (plan.records, plan.refused_total, plan.requests) == (1, 1, 0)
    assert isinstance(plan.refused[0].error, InvalidRecord)
    assert (plan.refused[0].error.field, plan.refused[0].error.reason) == (field, REASON)


@pytest.mark.parametrize(
    "call",
    [
        lambda manager: manager.ocamba.campaigns.cancel(BAD),
        lambda manager: manager.ocamba.campaigns.get(BAD),
        lambda manager: manager.omeda.deployments.cancel(BAD),
        lambda manager: manager.omeda.deployments.lookup(BAD),
        lambda manager: manager.journey_manager.transactions.cancel(BAD),
    ],
)
async def test_a_single_call_judges_its_id(call: Callable[[SessionManager], Any]) -> None:
    """It raises before anything is sent."""
    async with _manager() as manager:
        with pytest.raises(InvalidRecord, match="zero-width space at character 5"):
            await call(manager)


async def test_a_comment_among_ids_in_an_iterable_is_refused() -> None:
    """Only in a file it is known for one."""
    run = _manager().ocamba.campaigns.cancel_many(["# campaigns to cancel", "1000248"])
    plan = await run.plan()
    assert (plan.requests, [str(one.error) for one in plan.refused]) == (1, [f"ocamba: campaign_id: {COMMENT}"])
