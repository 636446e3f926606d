"""Read what a provider's headers say about its limits; nonsense counts as nothing."""

import datetime as dt
import email.utils
import math
import re
from collections.abc import Mapping

import attrs

LONGEST_WAIT = 86_400.0
"""Seconds: a longer ``Retry-After`` is cut to this, a longer reset is nonsense."""
TOO_MANY_PARALLEL = -1.0
"""Ocamba's ``Retry-After`` for too many requests in flight: no waiting time applies."""

_LIMIT = "X-RateLimit-Limit"
_LIMIT_LOWER = _LIMIT.lower()
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
    if _LIMIT not in headers and _LIMIT_LOWER not in headers:
        return None  # as in most responses: nothing else has to be looked for
    limit, remaining = _count(headers, _LIMIT), _count(headers, "X-RateLimit-Remaining")
    # The attempt itself has been counted, so that less than the whole limit remains.
    if limit is None or remaining is None or remaining >= limit:
        return None
    reset, slack = _seconds(headers, "X-RateLimit-Reset")
    return Advice(limit, remaining, reset, slack)


def read_retry_after(headers: Mapping[str, str], utc_now: dt.datetime) -> float | None:
    """Read ``Retry-After`` as seconds up to one day, or -1 for too many in flight; None when it makes no sense.

    A longer wait is cut to one day: a provider that asks for more must not be called at once. A past date is 0.
    """
    text = _get(headers, "Retry-After")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _until(text, headers, utc_now)
    if seconds == TOO_MANY_PARALLEL:
        return TOO_MANY_PARALLEL
    return min(seconds, LONGEST_WAIT) if math.isfinite(seconds) and seconds >= 0 else None


def _until(text: str, headers: Mapping[str, str], utc_now: dt.datetime) -> float:
    moment = _date(text)
    # The provider's own clock, where it tells: ours may be wrong.
    now = _date(_get(headers, "Date") or "") or utc_now
    return max(0.0, (moment - now).total_seconds()) if moment else math.nan


def _date(text: str) -> dt.datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _get(headers: Mapping[str, str], name: str) -> str | None:
    # aiohttp's mapping ignores case; a plain dictionary may be in either spelling.
    text = headers.get(name)
    if text is None:
        text = headers.get(name.lower())
    return text.strip() if isinstance(text, str) else None


def _count(headers: Mapping[str, str], name: str) -> int | None:
    text = _get(headers, name)
    return int(text) if text is not None and _COUNT.fullmatch(text) else None


def _seconds(headers: Mapping[str, str], name: str) -> tuple[float | None, float]:
    text = _get(headers, name)
    match = _SECONDS.fullmatch(text) if text is not None else None
    if match is None or float(match[0]) > LONGEST_WAIT:
        return None, 0.0
    return float(match[0]), 10.0 ** -len(match[1] or "")
