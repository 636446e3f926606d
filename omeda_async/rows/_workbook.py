"""A sheet of a workbook (.xlsx) as rows: what cells hold, as the text that a record may have.

What a spreadsheet shows and what its file holds may differ: dates, numbers of many digits or in a form of their own,
formulas without values, errors. Such a cell is refused, not read as something else.
"""

import io
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from typing import Any, Final, TypeAlias

from omeda_async._row import Row
from omeda_async.errors import ConfigurationError, InvalidRecord
from omeda_async.rows._convert import CsvForm
from omeda_async.rows._package import Package

_EXACT: Final = 10**15
"""Spreadsheets keep 15 digits of a number."""
_AS_TEXT: Final = "format the column as text, and enter it once more"
_Merged: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""The row and the column of the first and the last cell, from 0."""
_TARGETS: Final = frozenset(
    {"track_id", "campaign_id", "submit_key", "email_address", "brand_ids", "deployment_type_ids"}
)


class Marked:
    """Stands for a value that the file does not hold as it is shown."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


_COVERED: Final = Marked(
    "is part of a merged cell, whose value belongs to its first row alone or to all: unmerge it, and fill each cell in"
)


class Sheet:
    """The one sheet that is read.

    Args:
        data: The workbook.
        name: Its file name.
        wanted: The title of the sheet; None for the only one that holds something.

    Raises:
        ConfigurationError: It cannot be read, or there are several sheets to choose from.
    """

    def __init__(self, data: bytes, name: str, wanted: str | None) -> None:
        package = Package(data, name)
        self.title = package.choose(wanted)
        self._marks = package.findings(self.title).cells
        self._sheet = _loaded(data, name, self.title)
        self._merged = sorted(self._sheet.merged_cell_ranges or ())

    def rows(self) -> Iterator[tuple[int, list[Any]]]:
        """Return the number, as the spreadsheet shows it, and the values of each row that is not blank."""
        covering: list[_Merged] = []
        begun = 0
        for number, values in enumerate(self._sheet.iter_rows(), 1):
            if self._marks and number in self._marks:
                for column, reason in self._marks[number].items():
                    if column < len(values):
                        values[column] = Marked(reason)
            if not any(not isinstance(value, str) or value.strip() for value in values):
                continue
            if self._merged:
                while begun < len(self._merged) and self._merged[begun][0][0] < number:
                    covering.append(self._merged[begun])
                    begun += 1
                covering = [one for one in covering if one[1][0] >= number - 1]
                _cover(values, number - 1, covering)
            yield number, values

    def headings(self, values: list[Any]) -> list[str]:
        """Return what the cells of a header hold."""
        return ["" if isinstance(value, Marked) else _plain(value).strip() for value in values]


class SheetForm:
    """How the values of a row become a record: as texts, as if they stood in a CSV.

    Args:
        form: Makes a record of texts.
        fields: The field of each column; None for a column to be left out.
        columns: The file's own names of the fields.
    """

    def __init__(self, form: CsvForm, fields: tuple[str | None, ...], columns: Mapping[str, str]) -> None:
        self._form = form
        self._fields = fields
        self._columns = columns

    def row(self, number: int, values: list[Any]) -> Row:
        """Make a row of its values."""
        try:
            for place, value in enumerate(values[len(self._fields) :], len(self._fields) + 1):
                if value is not _COVERED and (not isinstance(value, str) or value.strip()):
                    reason = f"column {place} has no name in the header, and something in its cell"
                    raise InvalidRecord.of(None, f"{reason}: name it, or empty the cell")
            cells = [
                (value if type(value) is str else _text(field, value)) if field else ""
                for field, value in zip(self._fields, values, strict=False)
            ]
        except InvalidRecord as error:
            shown = [value if isinstance(value, str) else "" for value in values]
            return Row(number, error.with_traceback(None), self._columns, self._form.key_alone(shown))
        return self._form.row(number, cells)


def _cover(values: list[Any], row: int, merged: list[_Merged]) -> None:
    """Mark the cells of a row that belong to a merged one, other than its first, which holds the value."""
    for first, (_, last_column) in merged:
        for column in range(first[1], min(last_column + 1, len(values))):
            if (row, column) != first:
                values[column] = _COVERED


def _text(field: str, value: Any) -> str:
    if isinstance(value, Marked):
        raise InvalidRecord.of(field, value.reason)
    if isinstance(value, date | time | timedelta):
        if field == "scheduled_for":
            raise InvalidRecord.of(
                field,
                "is a date of the spreadsheet, which has no offset from UTC: write it as text, "
                "such as 2026-01-01T10:00:00-06:00",
            )
        raise InvalidRecord.of(
            field, f"is a date or a time, which the spreadsheet may have made of something else: {_AS_TEXT}"
        )
    if isinstance(value, bool):
        raise InvalidRecord.of(field, f"is a truth value ({str(value).upper()}) and no text: {_AS_TEXT}")
    if isinstance(value, int | float) and abs(value) >= _EXACT:
        raise InvalidRecord.of(
            field, f"is a number of more than 15 digits, which the spreadsheet has rounded: {_AS_TEXT}"
        )
    if isinstance(value, float) and not value.is_integer() and field in _TARGETS:
        raise InvalidRecord.of(field, f"is the number {value!r}, and no id: {_AS_TEXT}")
    return _plain(value)


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _loaded(data: bytes, name: str, title: str) -> Any:
    try:
        import python_calamine as calamine  # noqa: PLC0415 an extra
    except ImportError:
        raise ConfigurationError(
            f"{name} is a workbook, which needs an extra: pip install 'omeda-async[xlsx]', or save the sheet as CSV"
        ) from None
    try:
        return calamine.load_workbook(io.BytesIO(data)).get_sheet_by_name(title)
    except calamine.PasswordError:
        raise ConfigurationError(f"{name} is encrypted: save it without a password") from None
    except calamine.CalamineError as problem:
        raise ConfigurationError(f"{name} cannot be read as a workbook: {str(problem)[:200]}") from None
