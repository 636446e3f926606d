"""What callers give for many records: any iterable, but not what is one record, nor a table."""

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

from omeda_async._tables import table_reason
from omeda_async.bulk._item import Records
from omeda_async.errors import InvalidRecord


def many(records: Any) -> Records[Any]:
    """Return what is given for records.

    Raises:
        InvalidRecord: It is one record, a table, or nothing that can be iterated; says what to write.
    """
    if (table := table_reason(records)) is not None:
        raise InvalidRecord.of("records", table)
    # An id is an iterable too: of its characters, each of which would be sent.
    single = isinstance(records, str | bytes | bytearray | Mapping)
    if single or not isinstance(records, Iterable | AsyncIterable):
        raise InvalidRecord.of(
            "records", f"must be an iterable of records, not {type(records).__name__}: put a single one into a list"
        )
    return records
