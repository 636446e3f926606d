"""Omeda's dates: minutes of US Central time in requests, several spellings of it in responses.

Each check raises InvalidRecord; it says what would be right.
"""

import re
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from omeda_async.errors import ConfigurationError, InvalidRecord
from omeda_async.providers._fields import check_moment

_FORMAT: Final = "%Y-%m-%d %H:%M"
_SUFFIX: Final = re.compile(r"\s+(?P<zone>CST|CDT)$", re.IGNORECASE)


@cache
def central() -> ZoneInfo:
    """Return the time zone of all of Omeda's dates.

    Raises:
        ConfigurationError: The system has no time zone data.
    """
    try:
        return ZoneInfo("America/Chicago")
    except ZoneInfoNotFoundError:
        raise ConfigurationError("this system has no time zone data: install the package tzdata") from None


def to_central(moment: datetime) -> str:
    """Return an aware moment as Omeda wants it: ``yyyy-MM-dd HH:mm`` in US Central time, seconds dropped."""
    return moment.astimezone(central()).strftime(_FORMAT)


def check_date(field: str, value: object) -> datetime:
    """Return a date that has a time zone, and is not in the hour that comes twice in autumn."""
    moment = check_moment(field, value)
    try:
        local = moment.astimezone(central()).replace(fold=0)
        twice = local.utcoffset() != local.replace(fold=1).utcoffset()
    except OverflowError:
        raise InvalidRecord.of(field, "is out of the range of dates") from None
    # The text has no offset: the provider would choose one of two moments an hour apart.
    if twice:
        raise InvalidRecord.of(
            field,
            f"is {to_central(moment)} US Central, an hour that comes twice that night: choose another hour",
        )
    return moment


def check_future(field: str, value: object, now: datetime) -> None:
    """Check a date that has to be in the future once its seconds are dropped."""
    moment = check_date(field, value)
    if moment.astimezone(UTC).replace(second=0, microsecond=0) <= now:
        raise InvalidRecord.of(field, f"is {to_central(moment)} US Central: it must be in the future, by whole minutes")


def read_date(value: Any) -> datetime | None:
    """Return a date of a response, with or without seconds, fractions, an offset, or ``CST``/``CDT``; else None."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    suffix = _SUFFIX.search(text)
    if suffix is not None:
        text = text[: suffix.start()] + ("-06:00" if suffix["zone"].upper() == "CST" else "-05:00")
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=central()) if moment.utcoffset() is None else moment.astimezone(central())
    except (ValueError, OverflowError, ConfigurationError):
        return None
