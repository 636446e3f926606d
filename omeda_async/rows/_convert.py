"""How the text of a row becomes the fields of a record, for each format that a file may have: pure."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from types import NoneType
from typing import Any, Final, TypeVar

import orjson

from omeda_async._row import Row
from omeda_async.errors import InvalidRecord
from omeda_async.rows._charset import BLANKS, Charset
from omeda_async.rows._formulas import unquoted
from omeda_async.rows._kinds import RowKind
from omeda_async.rows._naming import Naming, shown_name

_KEPT: Final = 10_000
_LONGEST_KEPT: Final = 100
_UNDECODED: Final = re.compile(r"[\ud800-\udfff]")
_BETWEEN_IDS: Final = re.compile(r"[|,;]")
_THOUSANDS: Final = re.compile(r"(?<![^|;\s])[0-9]{1,3}(?:,[0-9]{3})+(?![^|;\s])")
_MOMENT: Final = "scheduled_for"
_EXAMPLE: Final = "such as 2026-01-01T10:00:00-06:00"
_FREE: Final = frozenset({"reason", "source", "promo_code", "key", "milestones"})
"""The fields that do not say what is to be done: a wrong letter in one of them does no lasting harm."""
_TEXTS: Final = {str}
_EXACT: Final = {str, int, bool, NoneType}
"""What orjson reads exactly."""
V = TypeVar("V")


class CsvForm:
    """How the cells of a CSV row become a record: empty ones are unset, ids are separated by ``|``, ``,`` or ``;``.

    Args:
        fields: The field of each column; None for a column to be ignored.
        columns: The file's own names of the fields.
        charset: The encoding of the file.
    """

    def __init__(self, fields: tuple[str | None, ...], columns: Mapping[str, str], charset: Charset) -> None:
        self._names = columns
        self._width = len(fields)
        self._charset = charset
        lists: dict[str, _Known[Any]] = {
            "brand_ids": _Known(partial(_brand_ids, charset)),
            "deployment_type_ids": _Known(partial(_type_ids, charset)),
        }
        self._columns = [(place, field, lists.get(field)) for place, field in enumerate(fields) if field]

    def row(self, number: int, cells: list[str] | InvalidRecord) -> Row:
        """Make a row of its cells, or of the reason why the line cannot be split into cells."""
        if isinstance(cells, InvalidRecord):
            return Row(number, cells, self._names)
        record: dict[str, Any] = {}
        try:
            if len(cells) != self._width:
                self._check_width(cells)
            for place, field, ids in self._columns:
                cell = cells[place]
                if ids is not None:
                    record[field] = ids[cell]
                elif text := (unquoted(cell) if "'" in cell else cell).strip(BLANKS):
                    record[field] = text
                    if field == _MOMENT or not text.isascii():
                        _check_text(field, text, self._charset)
        except InvalidRecord as error:
            return Row(number, error.with_traceback(None), self._names, self.key_alone(cells))
        return Row(number, record, self._names)

    def _check_width(self, cells: list[str]) -> None:
        beyond = enumerate(cells[self._width :], self._width + 1)
        more = next((place for place, cell in beyond if cell.strip()), None)
        if more is not None:
            quote = "put a cell that holds what separates cells in quotation marks"
            raise InvalidRecord.of(None, f"cell {more} has no column in the header, which has {self._width}: {quote}")
        if len(cells) < self._width:
            some = f"give as many cells as the header has, {self._width}"
            raise InvalidRecord.of(None, f"column {len(cells) + 1} has no cell: {some}")

    def key_alone(self, cells: list[str]) -> str | None:
        """Return the key of a row whose other cells may be of no use."""
        keys = (
            unquoted(cells[place]).strip(BLANKS)
            for place, field, _ in self._columns
            if field == "key" and place < len(cells)
        )
        return next(keys, None) or None


class LineForm:
    """How a line that holds the target alone becomes a record."""

    def __init__(self, kind: RowKind, charset: Charset) -> None:
        self._target = kind.target
        self._charset = charset

    def row(self, number: int, text: str) -> Row:
        """Make a row of a line."""
        try:
            _check_text(self._target, text, self._charset)
        except InvalidRecord as error:
            return Row(number, error.with_traceback(None))
        return Row(number, {self._target: text})


class JsonForm:
    """How a line of JSON becomes a record: an object, or the target alone where that is allowed.

    Where a row may be the target alone, the target may be a number, as many programs write ids.

    Args:
        naming: Which names stand for which fields.
        charset: The encoding of the file.
    """

    def __init__(self, naming: Naming, charset: Charset) -> None:
        kind = naming.kind
        self._bare = kind.target if kind.bare else None
        self._charset = charset
        self._naming = naming
        self._fields = _Known(lambda name: naming.field(name) or (None if naming.is_left_out(name) else ""))
        self._as_they_are = {name for name in kind.fields if self._fields[name] == name} - {self._bare, _MOMENT}

    def row(self, number: int, text: str) -> Row:
        """Make a row of a line."""
        try:
            record = _read_usual(text)
            if record is None:
                record = self._record(self._read_any(text))
            elif not record.keys() <= self._as_they_are:
                record = self._record(record.items())
        except InvalidRecord as error:
            key = next((_whole(value) for name, value in _pairs_in(text) if self._fields[name] == "key"), None)
            return Row(number, error.with_traceback(None), key=key)
        return Row(number, record)

    def _read_any(self, text: str) -> Collection[tuple[str, Any]]:
        """Return the names and values in any line, also those that ``_read_usual`` leaves.

        Raises:
            InvalidRecord: It is no JSON, or not of that form.
        """
        _check_text(None, text, self._charset)
        try:
            value = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_no_number)
        except (ValueError, RecursionError) as problem:
            raise InvalidRecord.of(None, f"is no JSON: {_why(problem)}") from None
        if self._bare and not isinstance(value, list):
            return [(self._bare, value)]
        if not isinstance(value, _Pairs):
            raise InvalidRecord.of(None, "must be a JSON object with the fields of one record")
        return value

    def _record(self, pairs: Collection[tuple[str, Any]]) -> dict[str, Any]:
        record: dict[str, Any] = {}
        unknown, lists = [], []
        for name, value in pairs:
            field = self._fields[name]
            if not field:
                unknown += [name] if field is not None else []
                lists += [name] if _holds_records(value, self._bare) else []
                continue
            if field in record:
                used = dict.fromkeys(repr(shown_name(one)) for one, _ in pairs if self._fields[one] == field)
                under = f", as {' and '.join(used)}" if len(used) > 1 else ""
                raise InvalidRecord.of(field, f"is given twice{under}: give it once")
            if field == _MOMENT and isinstance(value, str):
                _check_moment(value)
            if field == self._bare and isinstance(value, int) and not isinstance(value, bool):
                record[field] = str(value)
            else:
                record[field] = _whole(value)
        target = self._naming.kind.target
        if lists and target not in record:
            within = f"if its records are in the list in {shown_name(lists[0])!r}, give that list alone"
            raise InvalidRecord.of(None, f"has no {target}: {within}")
        if unknown:
            names = [repr(shown_name(name)) for name in unknown]
            raise InvalidRecord.of(None, self._naming.unknown("field", names, record))
        return record


def _holds_records(value: Any, bare: str | None) -> bool:
    """Whether a value is a list of objects, or of ids that may stand alone, or an object with such a list in it."""
    if isinstance(value, _Pairs):
        return any(_holds_records(one, bare) for _, one in value)
    kinds = str | int | _Pairs if bare else _Pairs
    return isinstance(value, list) and bool(value) and all(isinstance(one, kinds) for one in value)


def names_in(text: str) -> list[str]:
    """Return the names in a line of JSON; an empty list where it is no object."""
    usual = _read_usual(text)
    return [name for name, _ in _pairs_in(text)] if usual is None else list(usual)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as pairs, which keeps a name that is given twice."""


def _whole(value: Any) -> Any:
    return dict(value) if isinstance(value, _Pairs) else value


def _pairs_in(text: str) -> _Pairs:
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return _Pairs()
    return value if isinstance(value, _Pairs) else _Pairs()


def _no_number(word: str) -> Any:
    raise _NoNumberError(word)


class _NoNumberError(ValueError):
    """NaN or Infinity, which Python reads and JSON does not have."""


def fault_of(problem: json.JSONDecodeError) -> str:
    """Return in words what is wrong with JSON, and what to do about a comment, or a comma too many."""
    rest = problem.doc[problem.pos :].lstrip()
    if rest.startswith(("//", "/*", "#")):
        return "it holds a comment: remove it"
    if problem.msg == "Extra data" and rest.strip() == ",":
        return "it has a comma behind it: remove it"
    return problem.msg


def _why(problem: Exception) -> str:
    if isinstance(problem, _NoNumberError):
        return f"it holds {problem}, which is no number: write null, or leave the field out"
    return fault_of(problem) if isinstance(problem, json.JSONDecodeError) else "it cannot be read"


def _read_usual(text: str) -> dict[str, Any] | None:
    """Return the object in a usual line of JSON; None where orjson may not have read the line exactly.

    orjson makes a float of a whole number beyond 64 bits. Of a name that is given twice it keeps the last: then the
    line has more quotation marks than two for each name and text in the object.
    """
    try:
        value = orjson.loads(text)
        if type(value) is not dict:
            return None
        texts = len(value)
        for one in value.values():
            texts += 1 if type(one) is str else _texts_in(one)
    except ValueError:
        return None
    return value if text.count('"') == 2 * texts else None


def _texts_in(value: Any) -> int:
    """Return the number of texts in a value that is not a text itself.

    Raises:
        ValueError: It holds something that orjson may not have read exactly.
    """
    kinds = {*map(type, value)} if type(value) is list else {type(value)}
    if kinds == _TEXTS:
        return len(value)
    if not kinds <= _EXACT:
        raise ValueError(value)
    return sum(type(one) is str for one in value) if str in kinds else 0


class _Known(dict[str, V]):
    """A cache of what a function makes of texts."""

    def __init__(self, make: Callable[[str], V]) -> None:
        self._make = make

    def __missing__(self, text: str) -> V:
        value = self._make(text)
        if len(self) >= _KEPT:
            self.clear()
        if len(text) <= _LONGEST_KEPT:
            self[text] = value
        return value


def _brand_ids(charset: Charset, cell: str) -> tuple[str, ...] | None:
    return _parts("brand_ids", unquoted(cell), charset)


def _type_ids(charset: Charset, cell: str) -> tuple[int, ...] | None:
    parts = _parts("deployment_type_ids", unquoted(cell), charset)
    if parts is None:
        return None
    wrong = next((part for part in parts if not (part.isascii() and part.isdigit() and len(part) < 20)), None)
    if wrong is not None:
        from omeda_async._ids import wrong_in_id  # noqa: PLC0415 nobody else needs it to read a file

        reason = f"holds {wrong[:40]!r}, which is no whole number: give the digits of one, such as 4194"
        raise InvalidRecord.of("deployment_type_ids", wrong_in_id("deployment_type_ids", wrong) or reason)
    return tuple(dict.fromkeys(map(int, parts)))


def _parts(field: str, cell: str, charset: Charset) -> tuple[str, ...] | None:
    # None tells an empty cell from a column that is not there: an opt-out without ids reaches further.
    text = cell.strip(BLANKS)
    _check_text(field, text, charset)
    if "&" in text:
        from omeda_async._characters import odd_entity  # noqa: PLC0415 nobody else needs it to read a file
        from omeda_async._ids import alone_in  # noqa: PLC0415

        if (wrong := odd_entity(text, alone_in(field))) is not None:
            raise InvalidRecord.of(field, wrong)
    if _THOUSANDS.search(text):
        raise InvalidRecord.of(field, "may be one number or several ids: separate ids by |")
    if not text:
        return None
    parts = (part.strip(BLANKS) for part in _BETWEEN_IDS.split(text))
    return tuple(dict.fromkeys(filter(None, parts)))  # an id that a cell names twice is sent once


def _check_text(field: str | None, text: str, charset: Charset) -> None:
    if not text.isascii():
        if _UNDECODED.search(text):
            other = charset.is_said or charset.name != "UTF-8"
            how = "say another encoding, or save it as UTF-8" if other else "save the file as UTF-8"
            raise InvalidRecord.of(field, f"holds bytes that are not {charset.name}: {how}")
        if charset.is_guess and field is not None and field not in _FREE:
            raise InvalidRecord.of(
                field,
                f"holds letters beyond ASCII, and that the file is written in {charset.name} is only guessed: "
                "save the file as UTF-8, or say its encoding (--encoding, encoding= in Python)",
            )
    if field == _MOMENT:
        _check_moment(text)


def _check_moment(text: str) -> None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRecord.of(_MOMENT, f"is {text[:40]!r}: give ISO 8601, {_EXAMPLE}") from None
    if moment.utcoffset() is None:
        raise InvalidRecord.of(_MOMENT, f"has no offset from UTC: give it with one, {_EXAMPLE}")
