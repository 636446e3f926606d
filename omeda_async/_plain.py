"""Outcomes, reports and plans as plain JSON values: with e-mail addresses masked, unless somebody insists."""

import enum
import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import attrs

from omeda_async._empty import is_empty
from omeda_async._masking import mask_emails
from omeda_async._row import mapping_of
from omeda_async.errors import OmedaAsyncError


def plain(value: Any, *, mask: bool = True) -> Any:
    """Return a value as JSON has it: null, true, false, numbers, strings, lists, and objects whose names are strings.

    Models and receipts become objects of their fields, errors too, with their class as ``type``. Dates are written in
    ISO 8601, NaN and what else stands for nothing as null; of what JSON has no form for, and of an integer of more than
    64 bits, the text is taken. Half a surrogate pair is spelled out: no UTF-8 can hold it.

    Args:
        value: Any value. What cannot be looked into is named by its class.
        mask: Whether e-mail addresses are masked, wherever they stand.
    """
    try:
        return _plain(value, mask)
    except Exception:  # noqa: BLE001 a record is the caller's: looking into it may raise anything
        return f"<{type(value).__name__}>"


def _plain(value: Any, mask: bool) -> Any:  # noqa: PLR0911 one line for each kind
    if isinstance(value, str):
        return _text(str(value.value) if isinstance(value, enum.Enum) else str.__str__(value), mask)
    if is_empty(value) or isinstance(value, bool):
        return None if is_empty(value) else value
    if isinstance(value, Real):
        return _number(value)
    if isinstance(value, enum.Enum):
        return plain(value.value, mask=mask)
    if isinstance(value, OmedaAsyncError):
        return {"type": type(value).__name__, **_fields(value, mask)}
    if attrs.has(type(value)) and not isinstance(value, Mapping):
        return _fields(value, mask)
    if (row := value if isinstance(value, Mapping) else mapping_of(value)) is not None:
        return {_name(name, mask): plain(one, mask=mask) for name, one in row.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return [plain(one, mask=mask) for one in value] if hasattr(value, "__len__") else f"<{type(value).__name__}>"
    return _text(value.isoformat() if hasattr(value, "isoformat") else str(value), mask)


def _text(text: str, mask: bool) -> str:
    masked = mask_emails(text) if mask else text
    return masked if masked.isascii() else masked.encode("utf-8", "backslashreplace").decode("utf-8")


def _number(value: Real) -> int | float | str | None:
    if isinstance(value, Integral):
        number = int(value)
        return number if -(2**63) <= number < 2**64 else str(number)
    real = float(value)
    return real if math.isfinite(real) else None


def _fields(value: Any, mask: bool) -> dict[str, Any]:
    names = [field.name for field in attrs.fields(type(value)) if not field.name.startswith("_")]
    return {name: plain(getattr(value, name), mask=mask) for name in names}


def _name(name: Any, mask: bool) -> str:
    text = plain(name, mask=mask)
    return text if isinstance(text, str) else str(name)
