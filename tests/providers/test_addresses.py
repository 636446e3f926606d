"""Which e-mail addresses are sent: those somebody may read, on every way in, and exactly as they were given."""

import asyncio
import io
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from hypothesis import given, strategies as st

from omeda_async import (
    BrandOptOut,
    ClientOptOut,
    Deployment,
    DeploymentTypeOptOut,
    DeploymentUpdate,
    InvalidRecord,
    OmedaSettings,
    Outcome,
    OutcomeStatus,
    SessionManager,
    Tester,
)
from omeda_async._characters import named
from omeda_async.journal import read_status
from omeda_async.providers.omeda import _addresses
from omeda_async.providers.omeda._addresses import Addresses, check_address
from omeda_async.providers.omeda._converter import entry_of
from omeda_async.providers.omeda._operations import CREATE
from omeda_async.providers.omeda._requests import CreateDeployment
from omeda_async.rows import OPT_OUTS, RowFile
from omeda_async.sandbox import Sandbox
from tests.providers.characters import GAPS, unseen

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALONE = "give one address, and each of several in a record of its own"
INSIST = "; allow_odd_addresses=True sends it all the same"
INSIDE = {
    "\u200b": "U+200B zero-width space",
    "\u200c": "U+200C zero-width non-joiner",
    "\u200d": "U+200D zero-width joiner",
    "\u00ad": "U+00AD soft hyphen",
    "\u200e": "U+200E left-to-right mark",
    "\u200f": "U+200F right-to-left mark",
    "\u061c": "U+061C arabic letter mark",
    "\u202a": "U+202A left-to-right embedding",
    "\u202e": "U+202E right-to-left override",
    "\u2066": "U+2066 left-to-right isolate",
    "\u2069": "U+2069 pop directional isolate",
    "\u2060": "U+2060 word joiner",
    "\ufeff": "U+FEFF zero-width no-break space",
    "\u034f": "U+034F combining grapheme joiner",
    "\u180e": "U+180E mongolian vowel separator",
    "\ufe0f": "U+FE0F variation selector-16",
    "\U000e0100": "U+E0100 variation selector-17",
    "\U000e0041": "U+E0041 tag latin capital letter a",
    "\u3164": "U+3164 hangul filler",
    "\u115f": "U+115F hangul choseong filler",
    "\uffa0": "U+FFA0 halfwidth hangul filler",
    "\u2800": "U+2800 braille pattern blank",
    "\ufffc": "U+FFFC object replacement character",
    "\U0001d159": "U+1D159 musical symbol null notehead",
    "\u00a0": "U+00A0 no-break space",
    "\u202f": "U+202F narrow no-break space",
    "\u3000": "U+3000 ideographic space",
    "\u2028": "U+2028 line separator",
    "\u2029": "U+2029 paragraph separator",
    " ": "U+0020 space",
    "\t": "U+0009 control character (tab)",
    "\0": "U+0000 control character (null)",
    "\x7f": "U+007F control character",
    "\x85": "U+0085 control character",
    "\ue000": "U+E000 private character",
    "\uffff": "U+FFFF unassigned character",
    "\ud800": "U+D800 half a surrogate pair",
}
FORMS = {
    "mailto:anna@example.com": "begins with mailto: as a link or a header does: give the address alone",
    "MAILTO:anna@example.com?subject=Stop": "begins with MAILTO: as a link or a header does: give the address alone",
    "<anna@example.com>": "stands in angle brackets: remove them",
    "Jörg<anna@example.com>": "has a display name around it: give what stands between < and >",
    "Anna Smith <anna@example.com>": "has a display name around it: give what stands between < and >",
    '"Smith, Anna" <anna@example.com>': "has a display name around it: give what stands between < and >",
    "anna@example.com>": "has > and no <: remove it",
    '="anna@example.com"': "begins with = as a formula of a spreadsheet does: give the address alone",
    "=anna@example.com": "begins with = as a formula of a spreadsheet does: give the address alone",
    "#anna@example.com": "begins with # as a comment does: give the address alone",
    "anna@example.com?subject=Stop": "has a ? after it as in a link: give the address alone",
    "'anna@example.com": "begins with a quotation mark or an apostrophe: remove it",
    "'anna'@example.com": "begins with a quotation mark or an apostrophe: remove it",
    "'anna@example.com'": "begins with a quotation mark or an apostrophe: remove it",
    '"anna@example.com"': "begins with a quotation mark or an apostrophe: remove it",
    "\u2018anna@example.com": "begins with a quotation mark or an apostrophe: remove it",
    "\u201canna@example.com\u201d": "begins with a quotation mark or an apostrophe: remove it",
    "`anna@example.com": "begins with a quotation mark or an apostrophe: remove it",
    "«anna@example.com»": "begins with a quotation mark or an apostrophe: remove it",
    "anna@example.com.": "ends with a punctuation mark: remove it",
    "anna@b.": "ends with a punctuation mark: remove it",
    "anna@example.com,": "ends with a punctuation mark: remove it",
    "anna@example.com;": "ends with a punctuation mark: remove it",
    "anna@example.com (Anna)": "has a comment in parentheses: remove it",
    "anna(work)@example.com": "has a comment in parentheses: remove it",
    "anna@example.com,bob@example.com": (
        "has more than one @: give one address, and each of several in a record of its own"
    ),
    "anna@example.com; bob@example.com": (
        "has more than one @: give one address, and each of several in a record of its own"
    ),
    "Anna <anna@example.com>, Bob <bob@example.com>": f"has more than one @: {ALONE}",
    '"anna@example.com","bob@example.com"': f"has more than one @: {ALONE}",
    "@anna@example.com": "begins with @: remove it",
    "@a100@example.com\u2026": "begins with @: remove it",
    "anna@example.com\u2026": "is cut short with \u2026: give the whole address",
    "\u2026na@example.com": "is cut short with \u2026: give the whole address",
    "anna@example...": "is cut short with ...: give the whole address",
    "<br>": f"holds <br> as a page does: {ALONE}",
    "anna@example.com<br>": f"holds <br> as a page does: {ALONE}",
    "anna@example.com<br />bob@example.com": f"holds <br> as a page does: {ALONE}",
    '<a href="mailto:anna@example.com">anna</a>': f"holds </a> as a page does: {ALONE}",
    "an&shy;na@example.com": "has &shy; as a page writes U+00AD soft hyphen: remove it",
    "anna@example.com&nbsp;": "has &nbsp; as a page writes U+00A0 no-break space: remove it",
    "an&nbsp;na@example.com": f"has &nbsp; as a page writes U+00A0 no-break space: {ALONE}",
    "anna(at)example.com": "has (at) where @ belongs: write @",
    "anna (AT) example.com": "has (AT) where @ belongs: write @",
    "anna at example.com": "has at where @ belongs: write @",
    "anna@example(dot)com": "has (dot) where a period belongs: write a period",
    "anna@example dot com": "has dot where a period belongs: write a period",
    "null": "is 'null', as programs write an empty cell: give the address",
    "N/A": "is 'N/A', as programs write an empty cell: give the address",
    "anna%40example.com": "has %40 where @ belongs: write @",
    "anna&#64;example.com": "has &#64; where @ belongs: write @",
    "anna[at]example.com": "has [at] where @ belongs: write @",
    "anna＠example.com": "holds U+FF20 fullwidth commercial at at character 5: write @",  # noqa: RUF001 on purpose
    "anna﹫example.com": "holds U+FE6B small commercial at at character 5: write @",
    "anna@ｅxample.com": "holds U+FF45 fullwidth latin small letter e at character 6: write e",  # noqa: RUF001 on purpose
    "ﬁona@example.com": "holds U+FB01 latin small ligature fi at character 1: write fi",
    "o’hara@example.com": (  # noqa: RUF001 on purpose
        "holds U+2019 right single quotation mark, which is in no address: write the plain character" + INSIST
    ),
    "o\u02bchara@example.com": (
        "holds U+02BC modifier letter apostrophe, which is in no address: write the plain character" + INSIST
    ),
    "o\u00b4hara@example.com": (
        "holds U+00B4 acute accent, which is in no address: write the plain character" + INSIST
    ),
    "anna\u2212smith@example.com": (
        "holds U+2212 minus sign, which is in no address: write the plain character" + INSIST
    ),
    "anna@\u0435xample.com": (
        "holds U+0435 cyrillic small letter ie at character 6, among letters of another alphabet: write all in one"
        + INSIST
    ),
    "\u0430nna@example.com": (
        "holds U+0430 cyrillic small letter a at character 1, among letters of another alphabet: write all in one"
        + INSIST
    ),
    "ann\u03b1@example.com": (
        "holds U+03B1 greek small letter alpha at character 4, among letters of another alphabet: write all in one"
        + INSIST
    ),
    "anna1\u0662@example.com": (
        "holds U+0662 arabic-indic digit two at character 6, among digits of another alphabet: write all in one"
        + INSIST
    ),
    "zoe\u0308@example.com": (
        "has an accent apart from its letter at character 3: write both as one character (NFC), or the letter alone"
        + INSIST
    ),
    "anna@example。com": (
        "holds U+3002 ideographic full stop, which is in no address: write the plain character" + INSIST
    ),
    "{{email}}": "holds a placeholder that nothing was put in for: give the address itself",
    "{{ anna }}@example.com": "holds a placeholder that nothing was put in for: give the address itself",
    "${anna}@example.com": "holds a placeholder that nothing was put in for: give the address itself",
    "*|EMAIL|*": "holds a placeholder that nothing was put in for: give the address itself",
    "%%emailaddr%%": "holds a placeholder that nothing was put in for: give the address itself",
    "<%= anna %>": "holds a placeholder that nothing was put in for: give the address itself",
    "[%EMAIL%]": "holds a placeholder that nothing was put in for: give the address itself",
    "anna%2Bnews@example.com": "has %2B as a link writes a character: write the character",
    "anna%252bnews@example.com": "has %252b as a link writes a character: write the character",
    "%20anna@example.com": "has %20 as a link writes a character: write the character",
    "o&#39;anna@example.com": "has &#39; as a page writes a character: write the character",
    "anna&amp;bob@example.com": "has &amp; as a page writes a character: write the character",
    "&lt;anna@example.com&gt;": "has &lt; as a page writes a character: write the character",
    "a***@example.com": "is masked with ***: give the whole address",
    "a**a@example.com": "is masked with **: give the whole address",
    "anna@example..com": "is no e-mail address: An email address cannot have two periods in a row" + INSIST,
    "an..na@example.com": "is no e-mail address: An email address cannot have two periods in a row" + INSIST,
    ".anna@example.com": "is no e-mail address: An email address cannot start with a period" + INSIST,
    "anna.@example.com": (
        "is no e-mail address: An email address cannot have a period immediately before the @-sign" + INSIST
    ),
    "anna@-example.com": (
        "is no e-mail address: An email address cannot have a hyphen immediately after the @-sign" + INSIST
    ),
    "anna@xn--zz.com": "is no e-mail address: it is none by the rules of e-mail" + INSIST,
    "anna@[127.0.0.1]": ("is no e-mail address: A bracketed IP address after the @-sign is not allowed here" + INSIST),
    "anna": "is no e-mail address: it needs one @, something on both sides of it, and no spaces",
    "Total: 1,234": "is no e-mail address: it needs one @, something on both sides of it, and no spaces",
    "shop|anna@example.com": "holds | as between cells: give the address alone" + INSIST,
    "|anna@example.com": "holds | as between cells: give the address alone" + INSIST,
    "@example.com": "is no e-mail address: it needs one @, something on both sides of it, and no spaces",
    "": "is no e-mail address: it needs one @, something on both sides of it, and no spaces",
}
GOOD = (
    "anna@example.com",
    "ANNA@EXAMPLE.COM",
    "anna+news@example.co.uk",
    "o'hara@example.com",
    '"anna.smith"@example.com',
    '"a<b(c)"@example.com',
    "zoë@example.com",
    "anna@münchen.example",
    "用户@例え.example",
    "l·l@example.com",
    "анна.иванова-2@пример.example",
    "anna.иванова@example.com",
    "ταβέρνα@example.com",
    "abc商店カフェー@example.com",
    "\u0661\u0662@example.com",
    "שי.כהן@example.com",
    "नमस्ते@example.com",
    "q\u0308@example.com",
    "\U0001f600\U0001f3fd@example.com",
    "anna@xn--mnchen-3ya.example",
    "_anna-@mail-1.example.com",
    "-anna@1.com",
    "{anna}@example.com",
    "user%example.com@example.org",
    "anna%@example.com",
    "a&b@example.com",
    "a*b@example.com",
    "сё@example.com",
    "ŽIŽEK@example.com",
    "jürgen.groß@straße.example",
    f"{'a' * 100}@example.com",
)


def refusal_of(address: object, taken: Addresses = Addresses.REAL) -> str | None:
    """Return why an address is refused; None where it is sent."""
    try:
        check_address("email_address", address, taken)
    except InvalidRecord as error:
        return error.reason if error.field == "email_address" else f"{error.field}: {error.reason}"
    return None


@pytest.mark.parametrize("before", ["", "an", "anna@", "anna@exam", "anna@example.com"])
@pytest.mark.parametrize("character", INSIDE, ids=INSIDE.values())
def test_a_character_that_nobody_sees_is_named(character: str, before: str) -> None:
    """Wherever it stands, its number, its name and its place are told."""
    address = before + character + "anna@example.com"[len(before) :]
    way_out = ALONE if character in GAPS and before in {"an", "anna@exam"} else "remove it"
    reason = f"holds {INSIDE[character]} at character {len(before) + 1}: {way_out}"
    assert {refusal_of(address), refusal_of(address, Addresses.RESERVED)} == {reason}


@pytest.mark.parametrize(("address", "reason"), FORMS.items(), ids=map(ascii, FORMS))
def test_a_form_that_is_no_address_is_named_with_what_to_do(address: str, reason: str) -> None:
    """What a link, a mail program, a spreadsheet or a sentence puts around an address is told from it."""
    assert {refusal_of(address), refusal_of(address, Addresses.RESERVED)} == {reason}
    assert "anna" not in (refusal_of(address) or "").replace("quotation", "")


@pytest.mark.parametrize("address", GOOD, ids=ascii)
def test_what_a_provider_may_know_goes_out_as_it_is(address: str) -> None:
    """Quoted local parts, signs, other scripts: nothing of them is changed."""
    assert refusal_of(address) is None
    assert orjson.loads(entry_of(ClientOptOut(address))[1]) == {"EmailAddress": address}


@pytest.mark.parametrize("address", [5, b"anna@example.com", ["anna@example.com"]])
def test_what_is_no_text_is_refused_by_its_type(address: object) -> None:
    """Whatever is taken."""
    for taken in Addresses:
        assert refusal_of(address, taken) == f"must be a string, not {type(address).__name__}"
        assert refusal_of(None, taken) == "the cell is empty: give the address"


def test_an_address_has_a_longest_length() -> None:
    """The provider's, in characters; the rules of e-mail say one less, in bytes."""
    longest = f"{'a' * 243}@example.com"
    assert refusal_of(longest, Addresses.ODD) is None
    assert refusal_of(f"a{longest}", Addresses.ODD) == "has 256 characters: at most 255 are allowed"
    assert (refusal_of(longest) or "").startswith("is no e-mail address: The email address is too long")


@pytest.mark.parametrize("domain", ["shop.test", "localhost", "printer.local", "a.invalid", "x.onion", "1.arpa"])
def test_a_reserved_domain_is_for_tests_only(domain: str) -> None:
    """Nobody reads e-mail there; letters of either case, and whatever the local part."""
    for address in (f"anna@{domain}", f"ANNA@{domain.upper()}", f"zoë@{domain}"):
        reserved = domain.rpartition(".")[2]
        assert refusal_of(address) == f"is of a domain that is reserved ({reserved}): nobody reads e-mail there{INSIST}"
        assert refusal_of(address, Addresses.RESERVED) is None
    assert refusal_of(f".anna@{domain}", Addresses.RESERVED) is not None


def test_a_name_without_a_dot_is_for_tests_only() -> None:
    """So is one that no registry ends a domain with."""
    for address in ("anna@intranet", "anna@example.c0"):
        assert refusal_of(address) is not None
        assert refusal_of(address, Addresses.RESERVED) is None


@pytest.mark.parametrize("address", [*FORMS, *(f"an{one}na@example.com" for one in INSIDE)], ids=ascii)
def test_whoever_insists_sends_what_can_be_told_from_its_neighbours(address: str) -> None:
    """One @, something on both sides, and neither blanks nor control characters in it."""
    whole = address.count("@") == 1 and all(address.split("@")) and not any(map(str.isspace, address))
    whole = whole and not any(unicodedata.category(one) in {"Cc", "Cs"} for one in address)
    assert (refusal_of(address, Addresses.ODD) is None) == whole


ATOMS = st.text(st.sampled_from("abzAZ019_+'-.!#\"é=@ "), min_size=1, max_size=8)
LABELS = st.text(st.sampled_from("abxnXNZ09--.é_"), min_size=1, max_size=10)
ENDS = st.sampled_from(["", ".com", ".c0", ".x-y", ".b", *(f".{one}" for one in SPECIAL_USE_DOMAIN_NAMES)])


@given(st.builds("{}@{}{}".format, ATOMS, LABELS, ENDS | ENDS.map(str.upper)) | ATOMS)
def test_what_is_taken_at_once_would_be_taken_by_email_validator(address: str) -> None:
    """The quick way vouches for nothing that the careful one refuses."""
    if _addresses.is_plain_address(address):
        validate_email(address, check_deliverability=False)


@given(st.builds("{}@{}{}".format, ATOMS, LABELS, ENDS) | st.text(max_size=20).map("a{}@example.com".format))
def test_what_email_validator_refuses_is_refused(address: str) -> None:
    """Ours is the narrower gate, but for quoted local parts."""
    try:
        validate_email(address, check_deliverability=False, allow_quoted_local=True)
    except EmailNotValidError:
        assert refusal_of(address) is not None


@given(st.characters())
def test_every_character_of_a_kind_nobody_sees_is_refused(character: str) -> None:
    """By the categories of Unicode, whatever is added to them."""
    if unicodedata.category(character) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}:
        assert refusal_of(f"an{character}na@example.com") is not None


NAMES = ("zoë", "Ünal", "weiß", "José", "Łukasz", "žižek", "Gökçe", "ångström", "François", "Ñandú")
OTHERS = ("иванова", "Ελένη", "анна", "Ёлкина")


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        *((name, encoding) for name in NAMES for encoding in ("cp1252", "cp1250", "cp850", "cp437", "mac_roman")),
        *((name, encoding) for name in OTHERS for encoding in ("cp1251", "cp1253", "cp866", "koi8-r", "latin-1")),
    ],
)
@pytest.mark.parametrize("form", ["{}@example.com", "anna@{}.example"])
def test_an_address_whose_bytes_were_misread_is_refused(name: str, encoding: str, form: str) -> None:
    """UTF-8 that a program took for another encoding: nobody has such an address, and everybody's own is sent."""
    try:
        misread = name.encode().decode(encoding)
    except UnicodeError:
        misread = name.encode().decode("latin-1")
    assert "holds U+" in (refusal_of(form.format(misread)) or "")
    assert misread not in (refusal_of(form.format(misread)) or "")
    assert refusal_of(form.format(name)) is None


@given(st.lists(st.sampled_from([*"abcéèêëàâäáãåçñöôóòõüùûúíìîïßøæÿý", "cœur"]), min_size=1))
def test_what_is_read_in_its_encoding_is_not_taken_for_misread(parts: list[str]) -> None:
    """However many accents stand beside each other; of ``œ`` after one, ``éœœ`` is a misread 霜."""
    assert "that was read as" not in (refusal_of(f"{''.join(parts)}@example.com") or "")


def test_every_character_that_unicode_lets_nobody_see_is_refused() -> None:
    """One by one: joiners, fillers, all selectors of variants, tags, and what is set aside for more of them."""
    for character in unseen():
        way_out = ALONE if character in GAPS else "remove it"
        wanted = f"holds {named(character)} at character 3: {way_out}"
        for taken in (Addresses.REAL, Addresses.RESERVED):
            assert refusal_of(f"an{character}na@example.com", taken) == wanted
            assert refusal_of(f"anna@ex{character}ample.com", taken) == wanted.replace("character 3", "character 8")


@pytest.mark.parametrize("mark", ["\u0300", "\u20e3", "\u2d7f", "\U0001bc9d", "\U00016fe4"], ids=ascii)
@pytest.mark.parametrize("before", ["", "anna1", "anna-", "anna@", "anna@example1"])
def test_a_mark_that_belongs_to_no_letter_is_refused(before: str, mark: str) -> None:
    """Some of them nobody sees; on a digit or a sign none is spelled with."""
    address = before + mark + ("@example.com", "example.com", ".com")[before.count("@") + ("1" in before[5:])]
    assert f"holds {named(mark)} at character {len(before) + 1}" in (refusal_of(address) or "")


BAD = "zw\u200bsp@example.com"
REASON = "holds U+200B zero-width space at character 3: remove it"


def _rows(text: str, name: str) -> RowFile:
    return RowFile(OPT_OUTS, lambda: io.BytesIO(text.encode()), name)


async def _in_bulk(manager: SessionManager, records: Any) -> Outcome:
    (outcome,) = [one async for one in manager.omeda.opt_outs.submit_many(records)]
    return outcome


async def _planned(manager: SessionManager, records: Any) -> Outcome:
    (outcome,) = (await manager.omeda.opt_outs.submit_many(records).plan()).refused
    return outcome


async def _added(manager: SessionManager, record: Any) -> Outcome:
    async with manager.omeda.opt_outs.batcher() as batcher:
        return await batcher.add(record)


@pytest.mark.parametrize(
    "submit",
    [
        lambda manager: _in_bulk(manager, [ClientOptOut(BAD)]),
        lambda manager: _in_bulk(manager, [BrandOptOut(BAD, ["XXG"])]),
        lambda manager: _in_bulk(manager, [DeploymentTypeOptOut(BAD, [23])]),
        lambda manager: _in_bulk(manager, [{"email_address": BAD}]),
        lambda manager: _in_bulk(manager, [{"EmailAddress": BAD, "BrandId": ["XXG"]}]),
        lambda manager: _in_bulk(manager, _rows(f"email\n{BAD}\n", "in.csv")),
        lambda manager: _in_bulk(manager, _rows(f"email\tBrandId\n{BAD}\tXXG\n", "in.tsv")),
        lambda manager: _in_bulk(manager, _rows(f'{{"email": "{BAD}"}}\n', "in.jsonl")),
        lambda manager: _planned(manager, [ClientOptOut(BAD)]),
        lambda manager: _planned(manager, _rows(f"email\n{BAD}\n", "in.csv")),
        lambda manager: _added(manager, ClientOptOut(BAD)),
        lambda manager: _added(manager, {"email": BAD}),
    ],
)
async def test_an_address_is_judged_on_every_way_in(submit: Callable[[SessionManager], Any]) -> None:
    """Models, mappings, files and the batcher say the same of it, and send nothing."""
    async with Sandbox() as sandbox, _manager(sandbox) as manager:
        outcome: Outcome = await submit(manager)
        assert isinstance(outcome.error, InvalidRecord)
        assert (outcome.error.field, outcome.error.reason) == ("email_address", REASON)
        assert "zw" not in str(outcome.error)
        assert not sandbox.requests


def _manager(sandbox: Sandbox, **settings: Any) -> SessionManager:
    given_ = {"app_id": sandbox.app_id, "brand": sandbox.brand, "client": sandbox.client, "base_url": sandbox.url}
    return SessionManager(omeda=OmedaSettings(**given_ | settings))


async def test_a_single_call_judges_too() -> None:
    """It raises, and sends nothing."""
    async with Sandbox() as sandbox, _manager(sandbox) as manager:
        with pytest.raises(InvalidRecord, match=r"zero-width space at character 3"):
            await manager.omeda.opt_outs.submit(ClientOptOut("a@example.com"), ClientOptOut(BAD))
        assert not sandbox.requests


async def test_a_tester_needs_an_address_too() -> None:
    """It is judged where a deployment is created or updated, and the settings let somebody insist."""
    tester = Tester(first_name="Anna", last_name="Smith", email_address=BAD)
    common: dict[str, Any] = {"owner_user_id": "u", "track_opens": True, "track_links": True, "testers": [tester]}
    moment = datetime(2126, 1, 1, tzinfo=UTC)
    async with Sandbox() as sandbox, _manager(sandbox) as manager:
        with pytest.raises(InvalidRecord, match=r"testers\[0\]\.email_address: holds U\+200B"):
            await manager.omeda.deployments.update("FOO1", DeploymentUpdate(**common))
        deployment = Deployment(deployment_name="n", deployment_date=moment, deployment_type_id=1, **common)
        with pytest.raises(InvalidRecord, match=r"testers\[0\]\.email_address: holds U\+200B"):
            await manager.omeda.deployments.create(deployment)
        assert not sandbox.requests
    request = CREATE.build(CreateDeployment(brand="B", deployment=deployment, now=NOW, addresses=Addresses.ODD))
    assert orjson.loads(request.body or b"")["Testers"][0]["EmailAddress"] == BAD


async def test_the_settings_let_somebody_insist() -> None:
    """Then it goes out exactly as it was given, by every way."""
    async with Sandbox() as sandbox, _manager(sandbox, allow_odd_addresses=True) as manager:
        await manager.omeda.opt_outs.submit(ClientOptOut(BAD))
        assert (await _in_bulk(manager, [ClientOptOut(f"2{BAD}")])).status is OutcomeStatus.DONE
        assert (await _added(manager, ClientOptOut(f"3{BAD}"))).status is OutcomeStatus.DONE
        assert [one.email_address for one in sandbox.omeda.opt_outs] == [BAD, f"2{BAD}", f"3{BAD}"]
        run = manager.omeda.opt_outs.submit_many([ClientOptOut(BAD)], allow_odd_addresses=False)
        assert (await run.plan()).refused_total == 1


async def test_one_run_or_batcher_lets_somebody_insist() -> None:
    """And nothing else does."""
    async with Sandbox() as sandbox, _manager(sandbox) as manager:
        report = await manager.omeda.opt_outs.submit_many([ClientOptOut(BAD)], allow_odd_addresses=True)
        assert report.counts == {OutcomeStatus.DONE: 1}
        async with manager.omeda.opt_outs.batcher(allow_odd_addresses=True) as batcher:
            added = await asyncio.gather(batcher.add(ClientOptOut(f"2{BAD}")), batcher.add({"email": f"3{BAD}"}))
        assert {one.status for one in added} == {OutcomeStatus.DONE}
        assert (await _in_bulk(manager, [ClientOptOut(BAD)])).status is OutcomeStatus.REJECTED


async def test_odd_addresses_share_entries_and_are_isolated_like_others() -> None:
    """Who insists once is not asked again where entries are merged or a culprit is taken out."""
    async with Sandbox() as sandbox, _manager(sandbox) as manager:
        records = [
            BrandOptOut(BAD, [sandbox.brand, "NOPE"]),
            BrandOptOut(BAD, [sandbox.brand]),
            ClientOptOut(BAD),
        ]
        report = await manager.omeda.opt_outs.submit_many(records, allow_odd_addresses=True)
        assert report.counts == {OutcomeStatus.DONE: 2, OutcomeStatus.PARTLY_DONE: 1}


@pytest.mark.parametrize("journal", [None, "run.sqlite3"])
async def test_addresses_in_other_capitals_are_other_records(journal: str | None, tmp_path: Path) -> None:
    """A provider may tell them apart: each is an entry of its own, as it was given, and no repeat."""
    given_ = ["anna@example.com", "ANNA@example.com", "anna@EXAMPLE.com", "anna@example.com"]
    async with Sandbox() as sandbox, _manager(sandbox) as manager:
        run = manager.omeda.opt_outs.submit_many(
            map(ClientOptOut, given_), journal=None if journal is None else tmp_path / journal
        )
        report = await run
        assert report.counts == {OutcomeStatus.DONE: 4}
        assert [one.email_address for one in sandbox.omeda.opt_outs] == given_[:3]
        assert journal is None or read_status(tmp_path / journal).repeats == 1


async def test_a_sandbox_takes_reserved_domains() -> None:
    """Nothing is real there."""
    async with Sandbox() as sandbox, _manager(sandbox) as manager:
        records = map(ClientOptOut, ["a@shop.test", "a@localhost", "a@printer.local", "a@example.com"])
        report = await manager.omeda.opt_outs.submit_many(records)
        assert report.counts == {OutcomeStatus.DONE: 4}


async def test_production_refuses_reserved_domains() -> None:
    """Before anything is sent."""
    manager = SessionManager(omeda=OmedaSettings(app_id="a", client="c"))
    plan = await manager.omeda.opt_outs.submit_many(map(ClientOptOut, ["a@shop.test", "a@example.com"])).plan()
    assert (plan.records, plan.refused_total) == (2, 1)
