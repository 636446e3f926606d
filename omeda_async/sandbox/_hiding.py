"""What a page may show of a text: no e-mail address as a whole, no credentials, not without end."""

import re
from collections.abc import Iterable

_AT = r"(?:[@\uff20\ufe6b]|%(?:25)*40|&(?:amp;)*(?:#0*64|#[xX]0*40|commat);|\\u0040)"
_WORD = re.compile(r"\S+")
_SIGN = re.compile(_AT, re.IGNORECASE)
_LAST_AT = re.compile(rf"(.*){_AT}", re.IGNORECASE | re.DOTALL)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_MOST = 160
_LEAST_SECRET = 6
"""Characters of what may be a credential wherever it stands: to hide ``a`` would maim every text."""


def shown(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text as a page may show it: addresses as ``j***@example.com``, secrets as ``***``, and cut.

    Args:
        text: Anything, from anybody.
        secrets: Credentials that may stand in it.
    """
    whole = text[: 4 * _MOST]
    for secret in secrets:
        if len(secret) >= _LEAST_SECRET:
            whole = whole.replace(secret, "***")
    masked = _WORD.sub(_masked, whole) if _SIGN.search(whole) else whole
    cut = masked if len(masked) <= _MOST else f"{masked[: _MOST - 1]}…"
    return cut if cut.isprintable() else _CONTROL.sub("\N{REPLACEMENT CHARACTER}", cut)


def _masked(word: re.Match[str]) -> str:
    """Hide what stands before the last sign of an address, but for its first letter where there are more."""
    found = _LAST_AT.match(word[0])
    if found is None:
        return word[0]
    local, at = found[1], word[0][found.end(1) : found.end()]
    first = local[0] if len(local) > 1 and local[0].isalnum() else ""
    return f"{first}***{at}{word[0][found.end() :]}"
