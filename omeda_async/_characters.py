"""Characters of a text that nobody sees, or takes for others: pure."""

import re
import unicodedata
from typing import Final

QUOTES: Final = r"""\"'`\u00b4\u00ab\u00bb\u2018-\u201f\u2039\u203a"""
"""Quotation marks and apostrophes of every shape, for a set in a regular expression."""
PLACEHOLDER: Final = re.compile(r".*(?:\{\{[^{}]*\}\}|\$\{[^{}]*\}|<%[^%]*%>|\*\|[^*|]+\|\*|%%[^%]+%%|\[%[^%]*%\])")
"""Matches a text in which a template has left a place open: ``{{email}}``, ``${email}``, ``*|EMAIL|*``."""
CUT: Final = re.compile(r".*?(\u2026|\.{3,}\s*\Z)")
"""Matches a text that was cut short, as its … or ... says; its group is that mark."""
TAG: Final = re.compile(r".*?(</?(?:a|b|br|div|em|font|i|li|p|span|strong|t[dr]|u|wbr))\b[^<>@]*>", re.IGNORECASE)
"""Matches a text with a tag of HTML in it, such as ``<br>``; its group is how that begins."""
_ENTITY: Final = re.compile(r"&(?:#[0-9]+|#x[0-9a-f]+|[a-z]+[0-9]*);", re.IGNORECASE)
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
# What else Unicode lets a reader see nothing of: joiners, fillers, selectors of a variant, an empty Braille cell, a
# note without a head, and what stands for a picture that was left behind.
_BLANK: Final = frozenset(
    map(
        chr,
        (
            *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0),
            *(0xFFFC, 0x1D159),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
_GAPS: Final = "\u2800\u3164\uffa0"
"""Of those, what is as wide as a blank."""
_TYPOGRAPHIC: Final = frozenset({"Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sk", "Sm"})
# Marks that are spelled with: Catalan's and Japanese middle dots, and numeral and shortening signs (RFC 5892, A.3 ff.);
# and the tones of skin of emoji.
_IN_WORDS: Final = frozenset("\u00b7\u0375\u05f3\u05f4\u30fb\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")
_WORD: Final = re.compile(r"(?:[0-9A-Za-z]|[^\x00-\x7f])+")
# What may stand in one word with Latin letters, by how its name begins (UTS 39, "highly restrictive").
_BESIDE_LATIN: Final = frozenset(
    {
        *("LATIN", "COMBINING", "CJK", "IDEOGRAPHIC", "VERTICAL"),
        *("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"),
    }
)
REPLACED: Final = "\ufffd"
"""What a decoder puts in the place of what it cannot read."""
# Encodings that UTF-8 is mistaken for, and how many characters beyond ASCII that takes: of two, a word may be made.
_MISREAD_AS: Final = {"cp1252": 2, "cp1250": 2, "cp1251": 4, "cp1253": 4}
_DRAWN: Final = frozenset(map(chr, range(0x2500, 0x25A0)))
"""Lines and blocks, for which letters were taken that were read as an encoding of DOS, or as KOI8-R."""
_NAMELESS: Final = {
    "\0": "control character (null)",
    "\t": "control character (tab)",
    "\n": "control character (line feed)",
    "\r": "control character (carriage return)",
    "Cc": "control character",
    "Cn": "unassigned character",
    "Co": "private character",
    "Cs": "half a surrogate pair",
}


def named(character: str) -> str:
    """Return a character by its number and name, such as ``U+200B zero-width space``."""
    category = unicodedata.category(character)
    name = _NAMELESS.get(character) or unicodedata.name(character, "") or _NAMELESS.get(category, "character")
    return f"U+{ord(character):04X} {name if name.islower() else name.lower().replace('zero width', 'zero-width')}"


def odd_character(text: str, alone: str) -> str | None:
    """Return what is wrong with the first character that cannot be meant; None where there is none.

    Nobody sees it (a blank, a mark of direction, a filler), or it only looks like what has a plain key. ``alone`` says
    what to do where it may part two texts.
    """
    for place, one in enumerate(text, 1):
        if one == REPLACED or one in _DRAWN:
            return f"holds {named(one)} at character {place}: a decoder has damaged it; see its source"
        if unicodedata.category(one) in _UNSEEN or one in _BLANK:
            return f"holds {named(one)} at character {place}: {_way_out(one, text[: place - 1], text[place:], alone)}"
        if not one.isascii() and (plain := unicodedata.normalize("NFKC", one)).isascii():
            return f"holds {named(one)} at character {place}: write {plain}"
    return None


def odd_entity(text: str, alone: str) -> str | None:
    """Return what is wrong with a character reference of HTML in a text, such as ``&nbsp;``; None without one."""
    if "&" not in text:
        return None
    from html import unescape  # noqa: PLC0415 a long table, and hardly any text needs it

    for found in _ENTITY.finditer(text):
        one = unescape(found[0])
        if one == found[0]:
            continue
        if len(one) == 1 and (unicodedata.category(one) in _UNSEEN or one in _BLANK):
            way_out = _way_out(one, text[: found.start()], text[found.end() :], alone)
            return f"has {found[0]} as a page writes {named(one)}: {way_out}"
        return f"has {found[0]} as a page writes a character: write the character"
    return None


def _way_out(one: str, before: str, behind: str, alone: str) -> str:
    """Return what to do about a character that nobody sees; a gap may part two texts, and is not to be removed then."""
    is_gap = one.isspace() or unicodedata.category(one) == "Cc" or one in _GAPS
    inside = before.strip() and behind.strip() and not before.endswith("@") and not behind.startswith("@")
    return alone if is_gap and inside else "remove it"


def misread(text: str) -> str | None:
    """Return what is wrong with a text whose UTF-8 was read as another encoding, such as ``zoÃ«``; None for others."""
    if text.isascii():
        return None
    for encoding, least in _MISREAD_AS.items():
        try:
            text.encode(encoding).decode()
        except UnicodeError:
            continue
        place = next(place for place, one in enumerate(text, 1) if not one.isascii())
        if sum(not one.isascii() for one in text) >= least:
            return (
                f"holds {named(text[place - 1])} at character {place}, as UTF-8 does that was read as {encoding}: "
                "see its source"
            )
    return None


def is_typographic(character: str) -> bool:
    """Whether a character is a dash, an apostrophe, a dot or another mark that only typography knows."""
    if character.isascii() or character in _IN_WORDS:
        return False
    return unicodedata.category(character) in _TYPOGRAPHIC or "\u02b0" <= character <= "\u02ff"


def look_alike(text: str) -> str | None:
    """Return what is wrong with a text that reads like another one; None where nothing is.

    A letter or a digit of another alphabet in the middle of a word, an accent that stands apart from its letter or on
    none: who reads it sees nothing of it, and who compares it finds another text.
    """
    if text.isascii():
        return None
    for word in _WORD.finditer(text):
        latin = any(unicodedata.name(one, "").startswith("LATIN ") for one in word[0])
        digit = any(map(str.isdigit, filter(str.isascii, word[0])))
        for place, one in enumerate(word[0], word.start() + 1):
            if _is_out_of_place(one, latin=latin, digit=digit):
                kind = "digits" if unicodedata.category(one) == "Nd" else "letters"
                return f"holds {named(one)} at character {place}, among {kind} of another alphabet: write all in one"
    composed = unicodedata.normalize("NFC", text)
    if text != composed:
        place = next((n for n, pair in enumerate(zip(text, composed, strict=False)) if pair[0] != pair[1]), 0)
        apart = f"has an accent apart from its letter at character {place + 1}"
        return f"{apart}: write both as one character (NFC), or the letter alone"
    return _mark_alone(text)


def _mark_alone(text: str) -> str | None:
    """Return what is wrong with the first accent, joiner or filler that is on a digit or a sign, and on no letter."""
    base = ""
    for place, one in enumerate(text, 1):
        if unicodedata.category(one)[0] != "M":
            base = one
        elif base.isascii() and not base.isalpha():
            return f"holds {named(one)} at character {place}, which belongs to no letter: remove it"
    return None


def _is_out_of_place(one: str, *, latin: bool, digit: bool) -> bool:
    """Whether a letter, a mark or a digit is of another alphabet than the word it stands in, which has such others."""
    category = unicodedata.category(one)
    if one.isascii() or category[0] not in "LMN":
        return False
    beside = category == "Nd" and digit
    if not beside and unicodedata.name(one, "").partition(" ")[0] in _BESIDE_LATIN:
        return False
    return beside or latin
