"""Which e-mail addresses somebody may read. It is judged only: what goes out stays as it was given."""

import enum
import re
from collections.abc import Mapping
from typing import Final

from omeda_async._characters import (
    CUT,
    PLACEHOLDER,
    QUOTES,
    TAG,
    is_typographic,
    look_alike,
    misread,
    named,
    odd_character,
    odd_entity,
)
from omeda_async._empty import EMPTY, is_empty
from omeda_async._ids import NOTHING
from omeda_async.errors import InvalidRecord

LONGEST: Final = 255
_PLAIN_LENGTH: Final = 63
"""Up to it no label of a domain, and no address, can be too long."""
_ATOM: Final = r"[A-Za-z0-9_+'-]++"
_LABEL: Final = r"[A-Za-z0-9]++"
# How reserved domains end, in four letters. Sets of letters: to ignore case would take twice as long.
_RESERVED: Final = "|".join(
    "".join(f"[{letter}{letter.upper()}]" for letter in end) for end in ("test", "arpa", "ocal", "host", "nion", "alid")
)
is_plain_address: Final = re.compile(
    rf"(?!')(?=.{{1,{_PLAIN_LENGTH}}}\Z){_ATOM}(?:\.{_ATOM})*+@"
    rf"{_LABEL}(?:-{_LABEL})*+\.{_LABEL}(?:[.-]{_LABEL})*+(?<=[A-Za-z])(?<!{_RESERVED})"
).fullmatch
"""Matches what a fraction of a microsecond can vouch for; everything else is left to email-validator."""
_LEAST: Final = re.compile(r"[^\s@\x00-\x1f\x7f-\x9f\ud800-\udfff]+@[^\s@\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_NO_ADDRESS: Final = "is no e-mail address: it needs one @, something on both sides of it, and no spaces"
_ALONE: Final = "give one address, and each of several in a record of its own"
_SPELLED: Final = r"([\[({{]\s*{0}\s*[\])}}]|(?<=\s){0}(?=\s))"
_INSIST: Final = "; allow_odd_addresses=True sends it all the same"
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"(?=@)')
# The first that fits says it best.
_FORMS: Final[Mapping[re.Pattern[str], str]] = {
    re.compile(r"(?:mailto|e-?mail|smtp|sips?|xmpp|https?|to|b?cc)(?=:)", re.IGNORECASE): (
        "begins with {0}: as a link or a header does: give the address alone"
    ),
    PLACEHOLDER: "holds a placeholder that nothing was put in for: give the address itself",
    re.compile(r"="): "begins with = as a formula of a spreadsheet does: give the address alone",
    re.compile(r"#"): "begins with # as a comment does: give the address alone",
    TAG: f"holds {{1}}> as a page does: {_ALONE}",
    re.compile(r"@[^@]+@"): "begins with @: remove it",
    re.compile(r"[^@]*@[^@]*@"): f"has more than one @: {_ALONE}",
    re.compile(r"[^@|\"]+\|[^@]*@|\|"): f"holds | as between cells: give the address alone{_INSIST}",
    re.compile(r"<.*>\Z"): "stands in angle brackets: remove them",
    re.compile(r".*<"): "has a display name around it: give what stands between < and >",
    re.compile(r".*>"): "has > and no <: remove it",
    re.compile(rf"[^@]*?(%40|&#64;|&commat;|{_SPELLED.format('at')})[^@]*\Z", re.IGNORECASE): (
        "has {1} where @ belongs: write @"
    ),
    re.compile(rf".*?{_SPELLED.format('dot')}", re.IGNORECASE): "has {1} where a period belongs: write a period",
    CUT: "is cut short with {1}: give the whole address",
    re.compile(r".*[()]"): "has a comment in parentheses: remove it",
    re.compile(rf"[{QUOTES}]"): "begins with a quotation mark or an apostrophe: remove it",
    re.compile(r"[^@]*@.*\?"): "has a ? after it as in a link: give the address alone",
    re.compile(r"[^@]*?(%(?:25)*(?:2[0-9A-F]|3[C-E]|5F|7E))", re.IGNORECASE): (
        "has {1} as a link writes a character: write the character"
    ),
    re.compile(r".*?(\*\*+)"): "is masked with {1}: give the whole address",
    re.compile(r"(?!.*&[#\w]+;\Z).*[.,;:!]\Z"): "ends with a punctuation mark: remove it",
    re.compile(r"[^@]* [^@]*\Z"): _NO_ADDRESS,
}


class Addresses(enum.Enum):
    """Which addresses are taken."""

    REAL = enum.auto()
    """Those that somebody may read."""
    RESERVED = enum.auto()
    """Also those of domains for tests and closed networks, such as ``reader@shop.test``."""
    ODD = enum.auto()
    """Whatever has one @ and nothing in it that ends an address."""


def check_address(field: str, value: object, taken: Addresses = Addresses.REAL) -> None:
    """Check that a value may be the e-mail address of somebody.

    Raises:
        InvalidRecord: It may not; names the character or the form that is wrong, and never shows the address.
    """
    if not isinstance(value, str):
        empty = f"{EMPTY}: give the address"
        raise InvalidRecord.of(field, empty if is_empty(value) else f"must be a string, not {type(value).__name__}")
    if is_plain_address(value):
        return
    if len(value) > LONGEST:
        raise InvalidRecord.of(field, f"has {len(value)} characters: at most {LONGEST} are allowed")
    wrong = None if taken is Addresses.ODD else _wrong_form(value)
    if wrong is None and _LEAST.fullmatch(value) is None:
        wrong = odd_character(value, _ALONE) or _NO_ADDRESS
    if wrong is None and taken is not Addresses.ODD:
        wrong = _refusal(value, reserved=taken is Addresses.RESERVED)
    if wrong is not None:
        raise InvalidRecord.of(field, wrong)


def _wrong_form(text: str) -> str | None:
    if text in NOTHING:
        return f"is {text!r}, as programs write an empty cell: give the address"
    unquoted = _QUOTED.sub("quoted", text, count=1) if text.startswith('"') else text
    for form, reason in _FORMS.items():
        if found := form.match(unquoted):
            return reason.format(found[0], *found.groups())
    odd = odd_entity(text, _ALONE) or misread(text) or odd_character(text, _ALONE)
    if odd is not None:
        return odd
    for one in unquoted:
        if is_typographic(one):
            return f"holds {named(one)}, which is in no address: write the plain character{_INSIST}"
    alike = look_alike(text)
    return None if alike is None else f"{alike}{_INSIST}"


def _refusal(text: str, *, reserved: bool) -> str | None:
    """Return why email-validator takes an address for none; it asks no server."""
    from email_validator import (  # noqa: PLC0415 it takes long to load, and most addresses are plain
        SPECIAL_USE_DOMAIN_NAMES,
        EmailNotValidError,
        validate_email,
    )

    domain = text.rpartition("@")[2].lower()
    special = next((name for name in SPECIAL_USE_DOMAIN_NAMES if f".{domain}".endswith(f".{name}")), None)
    if special is not None and not reserved:
        return f"is of a domain that is reserved ({special}): nobody reads e-mail there{_INSIST}"
    try:
        validate_email(
            text if special is None else f"{text}.example",
            allow_smtputf8=True,
            allow_empty_local=False,
            allow_quoted_local=True,
            allow_domain_literal=False,
            allow_display_name=False,
            check_deliverability=False,
            test_environment=False,
            globally_deliverable=not reserved,
        )
    except ValueError as error:
        # With a cause, or from elsewhere, it may quote the address.
        own = isinstance(error, EmailNotValidError) and error.__cause__ is None
        reason = str(error).rstrip(".") if own else "it is none by the rules of e-mail"
        return f"is no e-mail address: {reason}{_INSIST}"
    return None
