"""The type variables of outcomes, reports and runs: what a record is, and what the provider gives for it.

Where they are left out, ``Any`` stands for them. Python knows such defaults from 3.13 on, type checkers always.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Record_co = TypeVar("Record_co", covariant=True, default=Any)
    Receipt_co = TypeVar("Receipt_co", covariant=True, default=Any)
    Record = TypeVar("Record", default=Any)
else:
    from typing import TypeVar

    Record_co = TypeVar("Record_co", covariant=True)
    Receipt_co = TypeVar("Receipt_co", covariant=True)
    Record = TypeVar("Record")

__all__ = ["Receipt_co", "Record", "Record_co"]
