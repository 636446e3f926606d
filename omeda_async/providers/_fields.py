"""Checks of the fields of records and queries, the same for all providers.

Each check raises InvalidRecord for a value that cannot be sent; it names the field, and says what would be right.
"""

import re
from datetime import UTC, datetime, timezone
from typing import Final
from urllib.parse import quote

from omeda_async.errors import InvalidRecord

LEAST_INTEGER: Final = -(2**63)
MOST_INTEGER: Final = 2**63 - 1

_UNSENDABLE: Final = re.compile(r"[\ud800-\udfff]")
_NO_ID: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_string(field: str, value: object, longest: int | None = None) -> str:
    """Return a value that is a string which JSON can carry, of at most ``longest`` characters."""
    if not isinstance(value, str):
        raise InvalidRecord.of(field, f"must be a string, not {type(value).__name__}")
    if not value.isascii() and _UNSENDABLE.search(value):
        raise InvalidRecord.of(field, "holds half a surrogate pair, which no JSON can carry: remove it")
    if longest is not None and len(value) > longest:
        raise InvalidRecord.of(field, f"has {len(value)} characters: at most {longest} are allowed")
    return value


def check_key(value: object) -> None:
    """Check a caller's key, a string or an integer; it is never sent."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidRecord.of("key", f"must be a string or an integer, not {type(value).__name__}")
    if isinstance(value, str):
        check_string("key", value)


def check_id(field: str, value: object, longest: int | None = None) -> None:
    """Check an id, or another text that must not be empty or hold control characters."""
    if longest is None and isinstance(value, str) and value.isprintable() and value.strip():
        return  # a printable text holds none of the characters that are looked for below
    text = check_string(field, value, longest)
    if not text.strip():
        raise InvalidRecord.of(field, "is empty: give the id")
    if _NO_ID.search(text):
        raise InvalidRecord.of(field, "holds a control character such as a line break: remove it")


def check_integer(field: str, value: object, least: int = LEAST_INTEGER, most: int = MOST_INTEGER) -> None:
    """Check an integer of at most 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRecord.of(field, f"must be an integer, not {type(value).__name__}")
    if not LEAST_INTEGER <= value <= MOST_INTEGER:
        raise InvalidRecord.of(field, "is out of the range of 64-bit integers")
    if not least <= value <= most:
        wanted = f"from {least} to {most}" if most < MOST_INTEGER else f"at least {least}"
        raise InvalidRecord.of(field, f"is {value}: must be {wanted}")


def check_moment(field: str, value: object) -> datetime:
    """Return a value that is a datetime with a time zone which has that time."""
    if not isinstance(value, datetime):
        raise InvalidRecord.of(field, f"must be a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise InvalidRecord.of(field, "has no time zone: give an aware datetime, such as datetime(…, tzinfo=UTC)")
    if not isinstance(value.tzinfo, timezone) and _is_skipped(value):
        raise InvalidRecord.of(
            field,
            f"is {value:%Y-%m-%d %H:%M} in {value.tzinfo}, a time that never comes there, as the clocks go past it: "
            "choose another hour",
        )
    return value


def _is_skipped(moment: datetime) -> bool:
    try:
        there = moment.astimezone(UTC).astimezone(moment.tzinfo)
    except OverflowError:
        return False
    return there.replace(tzinfo=None, fold=0) != moment.replace(tzinfo=None, fold=0)


def moment_of(value: object) -> datetime:
    """Return a datetime, or the one that an ISO 8601 string stands for.

    Raises:
        TypeError: It is neither.
        ValueError: It is a string in another format.
    """
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise TypeError(f"must be a datetime or an ISO 8601 string, not {type(value).__name__}")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"is {value!r}: give ISO 8601, such as 2026-02-28T13:45:00-06:00") from None


def path_segment(field: str, value: str) -> str:
    """Check an id, and return it percent-encoded as one segment of a path."""
    check_id(field, value)
    if value in {".", ".."}:
        raise InvalidRecord.of(field, f"is {value!r}, which a path takes for a direction: give the id")
    return value if value.isalnum() and value.isascii() else quote(value, safe="")


def query_value(value: str) -> str:
    """Return a text percent-encoded as the value of a query parameter, except for commas and colons."""
    return quote(value, safe=",:")
