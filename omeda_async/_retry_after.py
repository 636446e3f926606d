"""``Retry-After`` in seconds, whichever way a provider writes it. Nonsense reads as nothing."""

import datetime as dt
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 86_400.0
"""Seconds: a longer wait is cut to this. Whoever asks for more must not be asked again at once."""
TOO_MANY_PARALLEL = -1.0
"""Ocamba's sign for too many requests in flight: no waiting time applies."""


def read_retry_after(headers: Mapping[str, str], utc_now: dt.datetime | None = None) -> float | None:
    """Return the seconds to wait, from 0 to one day; -1 for too many in flight; None where it makes no sense.

    Args:
        headers: Those of the response; their names are capitalised, or all lower-case, or their mapping ignores case.
        utc_now: The time a date is compared with where the response does not tell its own: that is the provider's
            clock, and ours may be wrong. None where no clock is at hand: then such a date makes no sense.
    """
    text = _get(headers, "Retry-After")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds_until(_date(text), _date(_get(headers, "Date")) or utc_now)
    if seconds == TOO_MANY_PARALLEL:
        return TOO_MANY_PARALLEL
    return min(seconds, LONGEST_WAIT) if math.isfinite(seconds) and seconds >= 0 else None


def _get(headers: Mapping[str, str], name: str) -> str:
    return (headers.get(name) or headers.get(name.lower()) or "").strip()


def _seconds_until(moment: dt.datetime | None, now: dt.datetime | None) -> float:
    return math.nan if moment is None or now is None else max(0.0, (moment - now).total_seconds())


def _date(text: str) -> dt.datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
