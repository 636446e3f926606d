"""One row of a file, as a record."""

from collections.abc import ItemsView, Iterator, Mapping
from typing import Any, Protocol


class Form(Protocol):
    """How the rows of one file become records."""

    @property
    def columns(self) -> Mapping[str, str] | None:
        """Return the file's own names of the fields; None where it has no columns."""

    def read(self, row: "Row") -> dict[str, Any]:
        """Make a record of what stands in a row.

        Raises:
            InvalidRecord: It cannot be converted; says which column and why.
        """

    def key(self, row: "Row") -> Any:
        """Return the caller's key of a row that cannot be converted; None where it shows none."""

    def json(self, row: "Row") -> str | None:
        """Return the record as JSON where that is cheaper than to read it; else None.

        Raises:
            InvalidRecord: It cannot be converted.
        """


class Row(Mapping[str, Any]):
    """One row of a file: a record by the Python names of its fields, with the number of the row.

    Args:
        number: The row as a spreadsheet or an editor shows it, from 1, the header counted.
        form: Makes the record of it.
        source: What stands in the file. A tuple holds what rows may have alike: all cells, but for the target and the
            key, which are then given apart.
        target: What the row is about.
        key: The caller's key.

    Raises:
        InvalidRecord: Looking into a row that cannot be converted; says which column and why.
    """

    __slots__ = ("_record", "form", "key", "number", "source", "target")

    def __init__(self, number: int, form: Form, source: Any, target: str = "", key: str | None = None) -> None:
        self.number = number
        self.form = form
        self.source = source
        self.target = target
        self.key = key
        self._record: dict[str, Any] | None = None

    def _fields(self) -> dict[str, Any]:
        if self._record is None:
            self._record = self.form.read(self)
            self.source = None
        return self._record

    def fields(self) -> dict[str, Any]:
        """Return the record as a dictionary of the caller's own."""
        return self.form.read(self) if self._record is None else self._record.copy()

    def key_alone(self) -> Any:
        """Return the caller's key, also where the rest of the row cannot be converted; None where there is none."""
        if self._record is not None:
            return self._record.get("key")
        return self.form.key(self) if self.key is None else self.key

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
        return (self.form.columns or {}).get(field, field)

    def place(self, field: str) -> str:
        """Say where a field stands: a ``column`` of CSV by the file's own name for it, else a ``field``."""
        return f"field {field}" if self.form.columns is None else f"column {self.column(field)}"
