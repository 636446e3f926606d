"""Masking of e-mail addresses and secrets in text that may be shown or logged."""

import functools
import json
import re
from collections import deque
from collections.abc import Iterable
from urllib.parse import quote

# Whatever stands before an @ without a space may be the local part of an address, as we and providers take them. Each
# piece is gone through once, from its start: linear in the length of the text, also on hostile input.
_LOCAL = re.compile(r"(?<![^\s@])([^\s@]++)@(?=([^\s@]*+))")
# The same sign as URLs, pages and JSON write it, and as other keyboards do.
_WRITTEN = r"[\uff20\ufe6b]|%(?:25)*+40|&(?:amp;)*+(?:#0*+64|#[xX]0*+40|commat);?|\\u0040"
_BEGINNINGS = ("&", "%", "\uff20", "\ufe6b", "\\u")
_OTHERWISE = re.compile(_WRITTEN)
_WORD = re.compile(r"\S++")
# What moves the cursor, hides text, or turns its direction. A line may end.
_CONTROL = re.compile("\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_AROUND = {"'": "'", '"': '"', "<": ">", "(": ")"}
"""What an address may stand between in a sentence."""
_HIDDEN = "***"
_DATABASE_USER = re.compile(r"postgresql://[^\s:/?#@]++$")
"""What stands before the host of a database, as our errors name it: without a password, and no address's local part."""
LEAST_SECRET = 6
"""Characters of what may be taken for a secret wherever it stands: hiding ``en`` would maim every text."""


def mask_emails(text: str) -> str:
    """Replace the local part of every e-mail address in a text: ``t***@omeda.com``."""
    if _is_otherwise(text):
        return _WORD.sub(_masked_word, text)
    return _LOCAL.sub(lambda found: f"{_masked(found[1], found[2])}@", text) if "@" in text else text


def has_address(text: str) -> bool:
    """Whether there may be an e-mail address in a text, however its @ is written."""
    return "@" in text or _is_otherwise(text)


def readable(text: str) -> str:
    """Return a text that can be shown: with e-mail addresses masked, and without what controls a terminal."""
    text = mask_emails(text)
    return text if text.isprintable() else _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _is_otherwise(text: str) -> bool:
    for one in _BEGINNINGS:  # which is quicker than to search for what follows
        if one in text:
            return _OTHERWISE.search(text) is not None
    return False


def _masked_word(word: re.Match[str]) -> str:
    # Such a sign may stand in a local part as well: what is before the last @, and before the last sign, is one.
    local, at, rest = word[0].rpartition("@")
    signs = deque(_OTHERWISE.finditer(rest), maxlen=1)
    begin, end = signs[0].span() if signs else (0, 0)
    shown = _masked(rest[:begin], rest[end:]) + rest[begin:] if begin else rest
    return (_masked(local, rest) if local else "") + at + shown


def _masked(local: str, domain: str) -> str:
    if _DATABASE_USER.search(local):
        return local
    between = len(local) > 2 and local[1] != "*" and _AROUND.get(local[0], " ") in domain
    return f"{local[: 2 if between else 1]}***"


def masked_repr(value: object) -> str:
    """Return the repr of a value with its e-mail addresses masked; for the fields of models."""
    if isinstance(value, str):
        return repr(mask_emails(value))
    if isinstance(value, tuple) and all(isinstance(one, str) for one in value):
        return repr(tuple(map(mask_emails, value)))
    return mask_emails(repr(value))


def hide_secrets(text: str, secrets: Iterable[str], *, least: int = 1) -> str:
    """Replace every secret of at least so many characters, also as JSON and URLs write it, longest first.

    A short one is only hidden where it stands by itself: as a part of a word it is there by chance.
    """
    for form in _forms(tuple(secrets), least):
        if form in text:
            text = text.replace(form, _HIDDEN) if len(form) >= LEAST_SECRET else _by_itself(form).sub(_HIDDEN, text)
    return text


@functools.lru_cache(maxsize=64)
def _by_itself(form: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])")


@functools.lru_cache(maxsize=16)
def _forms(secrets: tuple[str, ...], least: int) -> tuple[str, ...]:
    forms: set[str] = set()
    for secret in secrets:
        if len(secret) >= least:
            quoted = json.dumps(secret)[1:-1]
            forms |= {secret, quoted, quoted.replace("/", r"\/"), quote(secret, safe="")}
    return tuple(sorted(forms, key=len, reverse=True))


@functools.lru_cache(maxsize=16)
def encoded_forms(secrets: tuple[str, ...], least: int) -> tuple[bytes, ...]:
    """Return what :func:`hide_secrets` looks for, as a text that is still encoded holds it."""
    return tuple(form.encode("utf-8", "surrogatepass") for form in _forms(secrets, least))
