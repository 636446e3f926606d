"""How tables of other libraries, such as data frames, are recognised, and the lines that make records of them."""

from inspect import getattr_static
from typing import Any, Final

# By the methods that such a table has, so that its library need not be there: iterated, it gives its columns.
_TABLES: Final = (
    ({"collect", "collect_schema"}, 'df.collect().iter_rows(named=True) (of one column, df.collect()["id"])'),
    ({"iter_rows", "to_dicts"}, 'df.iter_rows(named=True) (of one column, df["id"])'),
    ({"to_dict", "itertuples"}, 'df.to_dict("records") (of one column, df["id"])'),
    ({"to_pylist", "itercolumns"}, 'table.to_pylist() (of one column, table["id"].to_pylist())'),
)


def table_reason(value: Any) -> str | None:
    """Return why a table is no iterable of records, and what to write; None for anything else."""
    kind = type(value)
    for methods, line in _TABLES:
        if all(getattr_static(kind, name, None) is not None for name in methods):  # asks nothing of what is given
            return f"is a {kind.__name__}, whose rows are not what it gives: write {line}"
    return None


def table_in_place_of_a_record(value: Any) -> str | None:
    """Return the same for a table that was given for one record."""
    reason = table_reason(value)
    return reason and f"{reason}: each of them is a record"
