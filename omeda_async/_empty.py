"""What data frames and spreadsheets hold where a cell is empty."""

from typing import Any, Final

EMPTY: Final = "the cell is empty"


def is_empty(value: Any) -> bool:
    """Whether a value stands for nothing: None, NaN, or NaT and NA of pandas, which need not be there to be known."""
    if value is None or type(value).__name__ == "NAType":
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 of all values, only those that stand for nothing are not themselves
    except Exception:  # noqa: BLE001 the value is the caller's: comparing it may raise anything
        return False
