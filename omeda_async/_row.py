"""Rows as records: one row of a file, and what holds one elsewhere."""

from collections.abc import ItemsView, Iterator, Mapping
from copy import copy
from typing import Any

from omeda_async._quick import quick


@quick(eq=False, repr=False)
class Row(Mapping[str, Any]):
    """One row of a file: a record by the Python names of its fields, with the number of the row.

    Raises:
        InvalidRecord: Looking into a row that could not be converted; says which field and why.
    """

    number: int
    """The row as a spreadsheet or an editor shows it, from 1, the header counted."""
    record: dict[str, Any] | Exception
    """The record, into which nobody writes; or why the row could not be converted."""
    columns: Mapping[str, str] | None = None
    """The file's own names of the fields; None where it has no columns."""
    _key: Any = None
    """The caller's key where the row could not be converted and still shows one."""

    def _fields(self) -> dict[str, Any]:
        if isinstance(self.record, Exception):
            raise copy(self.record)  # whoever catches it may write into it, as a run does
        return self.record

    def fields(self) -> dict[str, Any]:
        """Return the record as a dictionary of the caller's own."""
        return self._fields().copy()

    def key_alone(self) -> Any:
        """Return the caller's key, also where the rest of the row cannot be converted; None where there is none."""
        return self._key if isinstance(self.record, Exception) else self.record.get("key")

    def holds(self, field: str) -> bool:
        """Whether the row could be converted, and has something in a field."""
        return isinstance(self.record, dict) and self.record.get(field) is not None

    def __getitem__(self, field: str) -> Any:
        return self._fields()[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())

    # What a Mapping has of its own looks up one field after the other: a million rows would feel that.
    def items(self) -> ItemsView[str, Any]:
        """Return the fields with what stands in them."""
        return self._fields().items()

    def get(self, field: str, default: Any = None) -> Any:
        """Return what stands in a field; the default where there is no such field."""
        return self._fields().get(field, default)

    def __repr__(self) -> str:
        return f"Row({self.number})"

    def column(self, field: str) -> str:
        """Return the name that the file has for a field."""
        return (self.columns or {}).get(field, field)

    def place(self, field: str) -> str:
        """Say where a field stands: a ``column`` of CSV by the file's own name for it, else a ``field``."""
        return f"field {field}" if self.columns is None else f"column {self.column(field)}"


def mapping_of(obj: Any) -> Mapping[Any, Any] | None:
    """Return what a row of SQLAlchemy, sqlite3, asyncpg or pandas, or a named tuple holds by its names; else None."""
    held = getattr(obj, "_mapping", None)
    if isinstance(held, Mapping):
        return held
    if isinstance(obj, tuple) and hasattr(obj, "_asdict"):
        named: dict[str, Any] = obj._asdict()
        return named
    return dict(obj) if hasattr(type(obj), "keys") and hasattr(type(obj), "__getitem__") else None
