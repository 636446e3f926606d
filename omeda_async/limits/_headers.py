"""Read what a provider's headers say about its limits; nonsense counts as nothing."""

import re
from collections.abc import Mapping

import attrs

LONGEST_RESET = 86_400.0
"""Seconds: a longer reset is nonsense."""
LIMIT = "X-RateLimit-Limit"
LIMIT_LOWER = LIMIT.lower()
"""As a mapping that does not ignore case may have it."""
_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_SECONDS = re.compile(r"\d{1,9}(?:\.(\d{1,9}))?", re.ASCII)


@attrs.frozen
class Advice:
    """What the ``X-RateLimit-*`` headers of an accepted response say."""

    limit: int
    remaining: int
    reset: float | None
    """Seconds left in the provider's window; None when that is not said, or makes no sense."""
    slack: float
    """Seconds by which ``reset`` may have been rounded, up or down."""


def read_advice(headers: Mapping[str, str]) -> Advice | None:
    """Read the limit, what remains, and the reset; None when one of the first two is missing or makes no sense."""
    limit, remaining = _count(headers, LIMIT), _count(headers, "X-RateLimit-Remaining")
    # The attempt itself has been counted, so that less than the whole limit remains.
    if limit is None or remaining is None or remaining >= limit:
        return None
    reset, slack = _seconds(headers, "X-RateLimit-Reset")
    return Advice(limit, remaining, reset, slack)


def _get(headers: Mapping[str, str], name: str) -> str:
    # aiohttp's mapping ignores case; a plain dictionary may be in either spelling.
    text = headers.get(name)
    if text is None:
        text = headers.get(name.lower())
    return text.strip() if isinstance(text, str) else ""


def _count(headers: Mapping[str, str], name: str) -> int | None:
    text = _get(headers, name)
    return int(text) if _COUNT.fullmatch(text) else None


def _seconds(headers: Mapping[str, str], name: str) -> tuple[float | None, float]:
    match = _SECONDS.fullmatch(_get(headers, name))
    if match is None or float(match[0]) > LONGEST_RESET:
        return None, 0.0
    return float(match[0]), 10.0 ** -len(match[1] or "")
