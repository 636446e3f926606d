"""What a file gives, in few words."""

import io
from typing import Any

from omeda_async import InvalidRecord
from omeda_async.rows import Row, RowFile, RowKind


def rows(kind: RowKind, data: str | bytes, name: str = "in.csv", **options: Any) -> RowFile:
    """Return the rows of a file in memory."""
    content = data if isinstance(data, bytes) else data.encode()
    return RowFile(kind, lambda: io.BytesIO(content), name, **options)


def read(kind: RowKind, data: str | bytes, name: str = "in.csv", **options: Any) -> dict[int, Any]:
    """Return each row by its number: the record, or the reason why there is none."""
    return {row.number: found(row) for row in rows(kind, data, name, **options)}


def found(row: Row) -> Any:
    """Return the record of a row, or the reason why there is none."""
    try:
        return row.fields()
    except InvalidRecord as error:
        return str(error)
