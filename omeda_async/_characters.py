"""Characters of a text that nobody sees, or takes for others: pure."""

import unicodedata
from typing import Final

QUOTES: Final = r"""\"'`\u00b4\u00ab\u00bb\u2018-\u201f\u2039\u203a"""
"""Quotation marks and apostrophes of every shape, for a set in a regular expression."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
# What else Unicode lets a reader see nothing of: joiners, fillers, selectors of a variant, and an empty Braille cell.
_BLANK: Final = frozenset(
    map(
        chr,
        (
            *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
REPLACED: Final = "\ufffd"
"""What a decoder puts in the place of what it cannot read."""
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


def odd_character(text: str) -> str | None:
    """Return what is wrong with the first character that cannot be meant; None where there is none.

    Nobody sees it (a blank, a mark of direction, a filler), or it only looks like what has a plain key.
    """
    for place, one in enumerate(text, 1):
        if one == REPLACED:
            return f"holds {named(one)} at character {place}: a decoder has damaged it; see its source"
        if unicodedata.category(one) in _UNSEEN or one in _BLANK:
            return f"holds {named(one)} at character {place}: remove it"
        if not one.isascii() and (plain := unicodedata.normalize("NFKC", one)).isascii():
            return f"holds {named(one)} at character {place}: write {plain}"
    return None
