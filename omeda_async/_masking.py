"""Masking of e-mail addresses and secrets in text that may be shown or logged."""

import functools
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

# Whatever stands before an @ without a space may be the local part of an address, as we and providers take them. Each
# piece is gone through once, from its start: linear in the length of the text, also on hostile input.
_LOCAL = re.compile(r"(?<![^\s@])([^\s@]++)@(?=([^\s@]*+))")
_AROUND = {"'": "'", '"': '"', "<": ">", "(": ")"}
"""What an address may stand between in a sentence."""
_HIDDEN = "***"
LEAST_SECRET = 6
"""Characters of what may be taken for a secret wherever it stands: hiding ``en`` would maim every text."""


def mask_emails(text: str) -> str:
    """Replace the local part of every e-mail address in a text: ``t***@omeda.com``."""
    return _LOCAL.sub(_masked, text) if "@" in text else text


def _masked(found: re.Match[str]) -> str:
    local, domain = found[1], found[2]
    between = len(local) > 2 and local[1] != "*" and _AROUND.get(local[0], " ") in domain
    return f"{local[: 2 if between else 1]}***@"


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
