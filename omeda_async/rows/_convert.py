"""From what stands in a row to the fields of a record, for each form a file may have: pure."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final

import attrs
import orjson

from omeda_async._row import Row
from omeda_async.errors import InvalidRecord
from omeda_async.rows._kinds import RowKind, plain

_UNDECODED: Final = re.compile(r"[\ud800-\udfff]")


_ALIKE_KEPT: Final = 1000


class CsvForm:
    """How the cells of a CSV row become a record: cells that are empty are unset, ids are separated by ``|``.

    Args:
        kind: What the rows are about.
        fields: The field of each column; None for a column to be ignored.
        columns: The file's own names of the fields.
    """

    def __init__(self, kind: RowKind, fields: tuple[str | None, ...], columns: Mapping[str, str]) -> None:
        self.columns: Mapping[str, str] | None = columns
        self._fields = fields
        self._name = kind.target
        self._target = fields.index(kind.target)
        self._key = fields.index("key") if "key" in fields else None
        self._apart = [place for place, field in enumerate(fields) if field in {None, "key"}]
        self._alike: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._records: dict[tuple[Any, bool], dict[str, Any]] = {}
        self._texts: dict[tuple[str, ...], tuple[str, str]] = {}

    def row(self, number: int, cells: list[str] | InvalidRecord) -> Row:
        """Make a row. Those that differ in their target and key only share the rest."""
        if isinstance(cells, InvalidRecord) or len(cells) != len(self._fields):
            return Row(number, self, cells)
        target = cells[self._target].strip()
        key = cells[self._key].strip() or None if self._key is not None else None
        if not (target and target.isascii() and (key is None or key.isascii())):
            return Row(number, self, cells)
        cells[self._target] = ""
        for place in self._apart:
            cells[place] = ""
        rest = tuple(cells)
        return Row(number, self, self._alike.get(rest) or self._remember(rest), target, key)

    def _remember(self, rest: tuple[str, ...]) -> tuple[str, ...]:
        if len(self._alike) >= _ALIKE_KEPT:
            self._alike.clear()
            self._records.clear()
            self._texts.clear()
        self._alike[rest] = rest
        return rest

    def read(self, row: Row) -> dict[str, Any]:
        """Make a record of a row's cells.

        Raises:
            InvalidRecord: Says which field and why.
        """
        if isinstance(row.source, InvalidRecord):
            raise row.source
        if not isinstance(row.source, tuple):
            return self._converted(row.source)
        like = (row.source, row.key is None)
        alike = self._records.get(like)
        if alike is None:
            alike = self._records[like] = self._converted(self._whole(row))
        record = alike.copy()
        record[self._name] = row.target
        if row.key is not None:
            record["key"] = row.key
        return record

    def key(self, row: Row) -> str | None:
        """Return what stands in the cell for the key."""
        cells, place = row.source, self._key
        if place is None or not isinstance(cells, list) or len(cells) <= place:
            return None
        return cells[place].strip() or None

    def json(self, row: Row) -> str | None:
        """Return the record as JSON where that is known but for its target; None where it has to be read for that.

        Raises:
            InvalidRecord: Says which field and why.
        """
        if row.key is not None or not isinstance(row.source, tuple):
            return None
        around = self._texts.get(row.source)
        if around is None:
            whole = orjson.dumps(self.read(row) | {self._name: 0}).decode()
            before, _, after = whole.partition(f'"{self._name}":0')
            around = self._texts[row.source] = (f'{before}"{self._name}":', after)
        return around[0] + orjson.dumps(row.target).decode() + around[1]

    def _converted(self, cells: list[str]) -> dict[str, Any]:
        fields = self._fields
        if len(cells) != len(fields) and (len(cells) < len(fields) or any(map(str.strip, cells[len(fields) :]))):
            raise InvalidRecord.of(None, f"the number of cells is {len(cells)}, and the header has {len(fields)}")
        record: dict[str, Any] = {}
        for field, cell in zip(fields, cells, strict=False):
            if field is None:
                continue
            text = _readable(field, cell.strip())
            if field in _LISTS:
                # None tells an empty cell from a column that is not there: an opt-out without ids reaches further.
                record[field] = _LISTS[field](text) if text else None
            elif text:
                record[field] = _TEXTS[field](text) if field in _TEXTS else text
        return record

    def _whole(self, row: Row) -> list[str]:
        cells = list(row.source)
        cells[self._target] = row.target
        if self._key is not None:
            cells[self._key] = row.key or ""
        return cells


@attrs.frozen
class LineForm:
    """How a line that holds the target alone becomes a record."""

    kind: RowKind
    columns: None = None

    def key(self, _: Row) -> None:
        """Return nothing: a line is its target."""

    def json(self, _: Row) -> None:
        """Return nothing: it has to be read."""

    def read(self, row: Row) -> dict[str, Any]:
        """Make a record of a line.

        Raises:
            InvalidRecord: It holds bytes that are no text.
        """
        return {self.kind.target: _readable(self.kind.target, row.source)}


@attrs.frozen
class JsonForm:
    """How a line of JSON becomes a record: an object, or the target alone where that is allowed.

    Where a row may be the target alone, the target may be a number, as many programs write ids.
    """

    kind: RowKind
    ignored: Collection[str]
    columns: None = None

    def key(self, row: Row) -> Any:
        """Return the key in a line that is an object, whatever else is in it."""
        try:
            value = json.loads(row.source, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            return None
        pairs = value if isinstance(value, _Pairs) else _Pairs()
        return next(
            (one for name, one in pairs if self.kind.field(name) == "key" and plain(name) not in self.ignored), None
        )

    def json(self, _: Row) -> None:
        """Return nothing: it has to be read."""

    def read(self, row: Row) -> dict[str, Any]:
        """Make a record of a line.

        Raises:
            InvalidRecord: It is no JSON, or not of that form.
        """
        kind = self.kind
        try:
            value = json.loads(_readable(None, row.source), object_pairs_hook=_Pairs, parse_constant=_no_number)
        except (ValueError, RecursionError) as problem:
            reason = problem.msg if isinstance(problem, json.JSONDecodeError) else "it cannot be read"
            raise InvalidRecord.of(None, f"is no JSON: {reason}") from None
        if isinstance(value, str | int) and not isinstance(value, bool) and kind.bare:
            return {kind.target: str(value)}
        if not isinstance(value, _Pairs):
            raise InvalidRecord.of(None, "must be a JSON object with the fields of one record")
        return _named(value, kind, self.ignored)


def names_in(text: str) -> set[str]:
    """Return the names in a line of JSON, reduced to what matters of them; none where it is no object."""
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return set()
    return {plain(name) for name, _ in value} if isinstance(value, _Pairs) else set()


class _Pairs(list[tuple[str, Any]]):
    """A JSON object in which no name has been lost to another like it."""


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
