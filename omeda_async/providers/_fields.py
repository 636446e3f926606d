"""Checks of the fields of records and queries, the same for all providers.

Each check raises InvalidRecord for a value that cannot be sent; it names the field, and says what would be right.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timezone
from numbers import Integral
from typing import Final
from urllib.parse import quote

from omeda_async._empty import EMPTY, is_empty
from omeda_async._ids import is_plain_id, wrong_in_id
from omeda_async._tables import table_in_place_of_a_record
from omeda_async.errors import InvalidRecord

LEAST_INTEGER: Final = -(2**63)
MOST_INTEGER: Final = 2**63 - 1
LONGEST_SHOWN: Final = 40
"""Characters of a value that an error shows at the most."""

_UNSENDABLE: Final = re.compile(r"[\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def wrong_type(field: str, value: object, wanted: str) -> InvalidRecord:
    """Return the error for a value that is no ``wanted``, such as ``"a string"``."""
    return InvalidRecord.of(field, type_reason(value, wanted))


def type_reason(value: object, wanted: str) -> str:
    """Say why a value is no ``wanted``: it is a cell without anything, or of another type."""
    if value is not None and is_empty(value):
        return f"{EMPTY}: give {wanted}; where nothing is meant, leave the field out or give None"
    return table_in_place_of_a_record(value) or f"must be {wanted}, not {type(value).__name__}{row_hint(value)}"


def row_hint(value: object) -> str:
    """Say what to do with a row that came without the names of its columns; nothing where it is none."""
    if type(value) is not tuple:
        return ""
    return ': a row needs the names of its columns, as df.to_dict("records") and df.iter_rows(named=True) give them'


def check_string(field: str, value: object, longest: int | None = None) -> str:
    """Return a value that is a string which JSON can carry, of at most ``longest`` characters."""
    if not isinstance(value, str):
        raise wrong_type(field, value, "a string")
    if not value.isascii() and _UNSENDABLE.search(value):
        raise InvalidRecord.of(field, "holds half a surrogate pair, which no JSON can carry: remove it")
    if longest is not None and len(value) > longest:
        raise InvalidRecord.of(field, f"has {len(value)} characters: at most {longest} are allowed")
    return value


def check_key(value: object) -> None:
    """Check a caller's key, a string or an integer; it is never sent."""
    if isinstance(value, bool) or not isinstance(value, str | int | Integral):
        raise wrong_type("key", value, "a string or an integer")
    if isinstance(value, str):
        check_string("key", value)


def check_text(field: str, value: object, longest: int | None = None) -> None:
    """Check a text that must not be empty or hold control characters."""
    text = check_string(field, value, longest)
    if not text.strip():
        raise InvalidRecord.of(field, "is empty: give it a value")
    if _CONTROL.search(text):
        raise InvalidRecord.of(field, "holds a control character such as a line break: give one line, and one value")


def check_texts(field: str, value: object, wanted: str) -> None:
    """Check a tuple of texts, which are ``wanted``, such as ``"names"``."""
    if not isinstance(value, tuple):
        raise InvalidRecord.of(field, f"must be a list of {wanted}, not one string")
    for text in value:
        check_text(field, text)


def check_id(field: str, value: object) -> None:
    """Check an id: what a spreadsheet or an editor has made of one, or added to it, is none."""
    if isinstance(value, str) and is_plain_id(value):
        return
    if is_empty(value):
        raise InvalidRecord.of(field, f"{EMPTY}: give the id")
    if isinstance(value, float):
        reason = "give its digits as text (JSON: in quotation marks; pandas: dtype=str, as an empty cell makes floats)"
        raise InvalidRecord.of(field, f"must be a string, not {type(value).__name__}: {reason}")
    text = check_string(field, value)
    if (wrong := wrong_in_id(field, text)) is not None:
        raise InvalidRecord.of(field, wrong)


def check_integer(field: str, value: object, least: int = LEAST_INTEGER, most: int = MOST_INTEGER) -> None:
    """Check an integer of at most 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(field, value, "an integer")
    if not LEAST_INTEGER <= value <= MOST_INTEGER:
        raise InvalidRecord.of(field, "is out of the range of 64-bit integers: give the number that is meant")
    if not least <= value <= most:
        wanted = f"from {least} to {most}" if most < MOST_INTEGER else f"at least {least}"
        raise InvalidRecord.of(field, f"is {value}: must be {wanted}")


def check_moment(field: str, value: object) -> datetime:
    """Return a value that is a datetime with a time zone which has that time."""
    if not isinstance(value, datetime) or value != value:  # noqa: PLR0124 pandas' NaT is a datetime, and not itself
        raise wrong_type(field, value, "a datetime")
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
        raise TypeError(type_reason(value, "a datetime or an ISO 8601 string"))
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"is {value[:LONGEST_SHOWN]!r}: give ISO 8601, such as 2026-02-28T13:45:00-06:00") from None


def path_segment(field: str, value: str, check: Callable[[str, object], None] = check_id) -> str:
    """Check an id, or another text, and return it percent-encoded as one segment of a path."""
    check(field, value)
    if value in {".", ".."}:
        raise InvalidRecord.of(field, f"is {value!r}, which a path takes for a direction: give the id")
    return value if value.isalnum() and value.isascii() else quote(value, safe="")


def query_value(value: str) -> str:
    """Return a text percent-encoded as the value of a query parameter, except for commas and colons."""
    return quote(value, safe=",:")
