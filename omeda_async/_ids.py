"""What is no id: pure, and decided here for files and for requests alike."""

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

NOTHING: Final = ("nan", "NaN", "NaT", "None", "null", "NULL", "undefined", "n/a", "N/A", "#N/A")
"""What programs write where there is nothing."""
_TRUTH: Final = ("true", "True", "TRUE", "false", "False", "FALSE")
_LONGEST: Final = 1000
"""Characters of an id, far more than any provider's has: a longer one no server takes in a path."""
is_plain_id: Final = re.compile(
    rf"(?![nNutTfF](?:{'|'.join(one[1:] for one in NOTHING + _TRUTH)})\Z|[1-9][eE][0-9]{{1,2}}\Z)"
    rf"[A-Za-z0-9_-]{{1,{_LONGEST}}}"
).fullmatch
"""Matches ids that need no further look: letters, digits, ``_`` and ``-``."""
_ALONE: Final = "give one id, and each of several in a record of its own"
_EACH: Final = "give each of several ids by itself (in one cell: with | between them)"
_LISTS: Final = frozenset({"brand_ids", "deployment_type_ids"})
# The first that fits says it best.
_NO_IDS: Final[Mapping[re.Pattern[str], str]] = {
    PLACEHOLDER: "holds a placeholder that nothing was put in for: give the id itself",
    re.compile(r"\s*#"): "begins with # as a comment does: give the id alone",
    re.compile(r"\s*="): "begins with = as a formula of a spreadsheet does: give the id alone",
    TAG: "holds {1}> as a page does: {alone}",
    re.compile(r"\s*<"): "stands between < and >: give the id alone",
    re.compile(r".*[<>]"): "holds < or >: {alone}",
    re.compile(r"\s*\["): "begins with [ as a list of JSON does: {alone}",
    re.compile(rf"\s*[{QUOTES}][^{QUOTES}]+[{QUOTES}]\s*[,;|\s]\s*\S"): (
        "holds several texts in quotation marks: {alone}"
    ),
    re.compile(rf"\s*[{QUOTES}]"): "begins with a quotation mark or an apostrophe: remove it",
    re.compile(r".*\s(?:#|//|;)"): "has a comment behind it: put that on a line of its own, which begins with #",
    re.compile(r"\s*[A-Za-z]+://"): "is a link: give the id alone",
    re.compile(r"[+-]?[0-9]+([.,][0-9]*[Ee][+-]?|[Ee]\+)[0-9]+\s*\Z|[1-9][Ee][0-9]{1,2}\Z"): (
        "is a number with an exponent (such as 1.0E+06): give all its digits"
    ),
    re.compile(r"[0-9]{1,3}([,\s][0-9]{3})+\s*\Z"): (
        "may be one number (such as 1,000,248) or several ids: {alone}, without marks between thousands"
    ),
    re.compile(r"[+-]?[0-9]{1,3}(([,'\u2019\s][0-9]{3})+|(\.[0-9]{3}){2,})([.,][0-9]+)?\s*\Z"): (
        "is a number with marks between its thousands (such as 1,000,248): give the digits alone"
    ),
    re.compile(r"[+-]?[0-9]+(?:\.0*|,0+)\s*\Z"): (
        "is a number with a decimal point (such as 1000248.0): give the digits before it"
    ),
    CUT: "is cut short with {1}: give the whole id",
    re.compile(r"\s*[,;|][^,;|]+\Z|[^,;|]+[,;|]\s*\Z"): "has a mark beside it that separates ids: remove it",
    re.compile(r".*[,;|]"): "holds a mark that separates ids: {alone}",
}


def wrong_in_id(field: str, text: str) -> str | None:
    """Return what is wrong with an id of a field, and what to do; None where nothing is."""
    if is_plain_id(text):
        return None
    if len(text) > _LONGEST:
        return f"has {len(text):,} characters, and no id so many: is a quotation mark not closed?"
    alone = alone_in(field)
    return _word(text) or odd_entity(text, alone) or _form(text, alone) or _odd(text, alone)


def alone_in(field: str) -> str:
    """Return how several ids are given in a field."""
    return _EACH if field in _LISTS else _ALONE


def _word(text: str) -> str | None:
    if text in NOTHING:
        return f"is {text!r}, as programs write an empty cell: give the id"
    if text in _TRUTH:
        return f"is {text!r}, as programs write a truth value: give the id"
    return None if text.strip() else "is empty: give the id"


def _form(text: str, alone: str) -> str | None:
    for form, reason in _NO_IDS.items():
        if found := form.match(text):
            return reason.format(found[0], *found.groups(), alone=alone)
    return None


def _odd(text: str, alone: str) -> str | None:
    if (wrong := misread(text)) is not None:
        return wrong
    for place, one in enumerate(text, 1):
        if is_typographic(one):
            return f"holds {named(one)} at character {place}: write the plain character"
    return odd_character(text, alone) or look_alike(text)
