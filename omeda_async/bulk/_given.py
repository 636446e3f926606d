"""What callers give for many records: any iterable, but not what is one record, nor a table."""

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Final

from omeda_async.bulk._item import Records
from omeda_async.errors import InvalidRecord

# By the methods that such a table has, so that its library need not be there: iterated, it gives its columns.
_TABLES: Final = (
    ({"collect", "collect_schema"}, 'df.collect().iter_rows(named=True) (of one column, df.collect()["id"])'),
    ({"iter_rows", "to_dicts"}, 'df.iter_rows(named=True) (of one column, df["id"])'),
    ({"to_dict", "itertuples"}, 'df.to_dict("records") (of one column, df["id"])'),
    ({"to_pylist", "itercolumns"}, 'table.to_pylist() (of one column, table["id"].to_pylist())'),
)


def many(records: Any) -> Records[Any]:
    """Return what is given for records.

    Raises:
        InvalidRecord: It is one record, a table, or nothing that can be iterated; says what to write.
    """
    kind = type(records)
    line = next((line for methods, line in _TABLES if all(hasattr(kind, name) for name in methods)), None)
    if line is not None:
        raise InvalidRecord.of("records", f"is a {kind.__name__}, whose rows are not what it gives: write {line}")
    # An id is an iterable too: of its characters, each of which would be sent.
    single = isinstance(records, str | bytes | bytearray | Mapping)
    if single or not isinstance(records, Iterable | AsyncIterable):
        raise InvalidRecord.of(
            "records", f"must be an iterable of records, not {kind.__name__}: put a single one into a list"
        )
    return records
