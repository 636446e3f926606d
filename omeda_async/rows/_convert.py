"""
From what stands in a row to the fields of a record: pure.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final

from omeda_async.errors import InvalidRecord
from omeda_async.rows._kinds import RowKind, plain

_UNDECODED: Final = re.compile(r"[\ud800-\udfff]")


def from_cells(cells: list[str] | InvalidRecord, fields: tuple[str | None, ...]) -> dict[str, Any]:
    """
    Make a record of a CSV row: cells that are empty are unset, ids are separated by ``|``.

    Args:
        cells: What stands in the row, or why that cannot be told.
        fields: The field of each column; None for a column to be ignored.

    Raises:
        InvalidRecord: Says which field and why.

    """
    if isinstance(cells, InvalidRecord):
        raise cells
    if len(cells) != len(fields) and (len(cells) < len(fields) or any(map(str.strip, cells[len(fields) :]))):
        raise InvalidRecord.of(None, f"the number of cells is {len(cells)}, and the header has {len(fields)}")
    record: dict[str, Any] = {}
    for field, cell in zip(fields, cells, strict=False):
        if field is None:
            continue
        text = cell.strip()
        if not text.isascii():
            _readable(field, text)
        if field in _LISTS:
            # None tells an empty cell from a column that is not there: an opt-out without ids reaches further.
            record[field] = _LISTS[field](text) if text else None
        elif text:
            record[field] = _TEXTS[field](text) if field in _TEXTS else text
    return record


def from_line(text: str, kind: RowKind) -> dict[str, Any]:
    """
    Make a record of a line that holds the target alone.

    Raises:
        InvalidRecord: It holds bytes that are no text.

    """
    return {kind.target: _readable(kind.target, text)}


def from_json(text: str, kind: RowKind, ignored: Collection[str]) -> dict[str, Any]:
    """
    Make a record of a line of JSON: an object, or the target alone where that is allowed.

    Where a row may be the target alone, the target may be a number, as many programs write ids.

    Raises:
        InvalidRecord: It is no JSON, or not of that form.

    """
    try:
        value = json.loads(_readable(None, text), object_pairs_hook=_Pairs, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        reason = problem.msg if isinstance(problem, json.JSONDecodeError) else "it cannot be read"
        raise InvalidRecord.of(None, f"is no JSON: {reason}") from None
    if isinstance(value, str | int) and not isinstance(value, bool) and kind.bare:
        return {kind.target: str(value)}
    if not isinstance(value, _Pairs):
        raise InvalidRecord.of(None, "must be a JSON object with the fields of one record")
    return _named(value, kind, ignored)


def names_in(text: str) -> set[str]:
    """
    Give the names in a line of JSON, reduced to what matters of them; none where it is no object.
    """
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return set()
    return {plain(name) for name, _ in value} if isinstance(value, _Pairs) else set()


class _Pairs(list[tuple[str, Any]]):
    """
    A JSON object in which no name has been lost to another like it.
    """


def _named(pairs: _Pairs, kind: RowKind, ignored: Collection[str]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in pairs:
        if plain(name) in ignored:
            continue
        field = kind.field(name) or name
        if field in record:
            raise InvalidRecord.of(field, "is given twice")
        record[field] = _field(kind, field, dict(value) if isinstance(value, _Pairs) else value)
    return record


def _field(kind: RowKind, field: str, value: Any) -> Any:
    if isinstance(value, str) and field in _TEXTS:
        return _TEXTS[field](value)
    number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if number and kind.bare and field == kind.target else value


def _no_number(word: str) -> Any:
    raise ValueError(word)


def _readable(field: str | None, text: str) -> str:
    if not text.isascii() and _UNDECODED.search(text):
        raise InvalidRecord.of(field, "holds bytes that are not UTF-8: save the file as UTF-8")
    return text


def _parts(text: str) -> tuple[str, ...]:
    if "|" not in text:
        return (text,)
    return tuple(filter(None, map(str.strip, text.split("|"))))


def _numbers(text: str) -> tuple[int, ...]:
    parts = _parts(text)
    wrong = next((part for part in parts if not (part.isascii() and part.isdigit() and len(part) < 20)), None)
    if wrong is not None:
        raise InvalidRecord.of("deployment_type_ids", f"holds {wrong[:40]!r}, which is no whole number")
    return tuple(map(int, parts))


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRecord.of("scheduled_for", f"is {text[:40]!r}: give ISO 8601, {_MOMENT}") from None
    if moment.utcoffset() is None:
        raise InvalidRecord.of("scheduled_for", f"has no offset from UTC: give it with one, {_MOMENT}")
    return text


_MOMENT: Final = "such as 2026-01-01T10:00:00-06:00"
_TEXTS: Final[Mapping[str, Callable[[str], str]]] = {"scheduled_for": _moment}
_LISTS: Final[Mapping[str, Callable[[str], tuple[Any, ...]]]] = {
    "brand_ids": _parts,
    "deployment_type_ids": _numbers,
}
