"""
Masking of e-mail addresses and secrets in text that may be shown or logged.
"""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

# One class with an upper bound on both sides: linear in the length of the text, also on hostile input.
_ADDRESS = re.compile(r"([^\s@\"'<>(),;:\[\]\\])[^\s@\"'<>(),;:\[\]\\]{0,254}@([^\s@\"'<>(),;:\[\]\\]{1,255})")
_HIDDEN = "***"


def mask_emails(text: str) -> str:
    """
    Replace the local part of every e-mail address in a text: ``t***@omeda.com``.
    """
    return _ADDRESS.sub(r"\1***@\2", text) if "@" in text else text


def masked_repr(value: object) -> str:
    """
    Give the repr of a value with its e-mail addresses masked; for the fields of models.
    """
    return mask_emails(repr(value))


def hide_secrets(text: str, secrets: Iterable[str]) -> str:
    """
    Replace every secret that stands in a text: as it is, as JSON and URLs write it, the longest first.
    """
    forms = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""))}
    for form in sorted(filter(None, forms), key=len, reverse=True):
        text = text.replace(form, _HIDDEN)
    return text
