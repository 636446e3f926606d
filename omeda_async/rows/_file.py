"""A file of rows: its format is found out, and its rows are numbered as a spreadsheet or an editor shows them."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, starmap
from pathlib import Path
from typing import Any, BinaryIO, Final, TypedDict, Unpack, cast

from omeda_async._checks import check_path, check_whole
from omeda_async._masking import mask_emails
from omeda_async._row import Row
from omeda_async.errors import ConfigurationError, InvalidRecord
from omeda_async.rows._charset import Charset
from omeda_async.rows._convert import CsvForm, JsonForm, LineForm, names_in
from omeda_async.rows._foreign import check_ours, is_workbook
from omeda_async.rows._kinds import RowKind, plain
from omeda_async.rows._layout import Format, Layout, find_layout, known_delimiter
from omeda_async.rows._naming import SHEET, Naming
from omeda_async.rows._source import Source
from omeda_async.rows._text import Text

_LOOKED_AT: Final = 20
_LARGEST: Final = 256 * 1024 * 1024


class RowOptions(TypedDict, total=False):
    """What can be said of a file; see :class:`RowFile`."""

    columns: Mapping[str, str] | None
    ignore_other_columns: bool
    encoding: str | None
    delimiter: str | None
    limit: int | None
    sheet: str | None


class RowFile(Iterable[Row]):
    """The rows of a file, which can be gone through any number of times, one row in memory at a time.

    CSV, JSON Lines, a JSON array, one id a line, all of them also packed with gzip; and a sheet of an ``.xlsx`` (extra
    ``xlsx``), which is held in memory as a whole. Its length is the number of rows that are not blank; they are counted
    when it is made, which blocks: from a coroutine, make it in a thread if the file is long. A file that is changed
    after it was opened is noticed with the next 64 KiB that are read of it: going through the rows then raises, and no
    row is pieced together of two states.

    Args:
        kind: What the rows are about.
        opened: Opens the file for reading bytes, so that any position in it can be sought. It is called once; the
            file is closed when nobody refers to the rows any more.
        name: The file's name; its ending tells the format, else its content does.
        ignore: Columns to leave out, by the names the file has for them.
        columns: For fields, the names that the file has for them: ``{"email_address": "Contact"}``. They go before
            names that are known by themselves.
        ignore_other_columns: Leave out every column that stands for no field. Without it such a column is refused, as
            it may be a slip for one that does.
        encoding: In what a text is written, by Python's name. None: as its mark says, or UTF-8; what is neither is
            guessed where charset-normalizer is installed (extra ``cli``). ``notes`` tells so, and a row whose address
            or id has letters beyond ASCII is then refused.
        delimiter: What separates the cells: one sign, or ``"tab"``.
        limit: Read so many rows at the most.
        sheet: The sheet of a workbook; needed where several hold something.

    Raises:
        ConfigurationError: The file cannot be read, or not as rows of this kind; says what was expected. Or an option
            is wrong.
    """

    def __init__(
        self,
        kind: RowKind,
        opened: Callable[[], BinaryIO],
        name: str,
        ignore: Iterable[str] = (),
        *,
        columns: Mapping[str, str] | None = None,
        ignore_other_columns: bool = False,
        encoding: str | None = None,
        delimiter: str | None = None,
        limit: int | None = None,
        sheet: str | None = None,
    ) -> None:
        if limit is not None:
            check_whole("limit", limit)
        self.kind = kind
        self.name = name
        self._naming = Naming(kind, ignore, columns or {}, others=ignore_other_columns)
        self._limit = limit
        try:
            file = opened()
        except OSError as problem:
            raise ConfigurationError(f"{name} cannot be read: {_reason(problem)}") from problem
        try:
            self._open(Source(file, name), encoding, known_delimiter(delimiter), sheet)
            self._all = self._counted()
        except (OSError, UnicodeError, csv.Error) as problem:
            written = encoding or "UTF-8 or UTF-16"
            reason = _reason(problem) if isinstance(problem, OSError) else f"it is no text in {written}"
            raise ConfigurationError(f"{name} cannot be read: {reason}") from problem
        if not self._all:
            raise ConfigurationError(f"{name} holds no rows below its header")
        if not self._has_header:
            self._naming.check_there((set(map(plain, names_in(text))) for _, text in self._records()), "field", name)

    def _open(self, source: Source, encoding: str | None, delimiter: str | None, sheet: str | None) -> None:
        self._sheet = self._text = None
        if is_workbook(source):
            if encoding is not None or delimiter is not None:
                raise ConfigurationError(f"{self.name} is a workbook, which has no encoding and no delimiter")
            from omeda_async.rows._workbook import Sheet  # noqa: PLC0415 few files are workbooks

            self._sheet = Sheet(source.whole(_LARGEST), self.name, sheet)
            self._layout = Layout("xlsx", SHEET)
        else:
            if sheet is not None:
                raise ConfigurationError(f"{self.name} has no sheets: leave sheet {sheet!r} out")
            check_ours(source)
            self._text = Text(source, encoding)
            self._layout = find_layout(self._text, self._naming, delimiter)
        self._names, self._fields = self._header() if self._has_header else ([], ())

    @classmethod
    def at(
        cls, kind: RowKind, path: str | Path, ignore: Iterable[str] = (), **options: Unpack[RowOptions]
    ) -> "RowFile":
        """Open a file by its path; the options are those of the class.

        Raises:
            ConfigurationError: It cannot be read, or not as rows of this kind.
        """
        name = check_path("path", path)
        return cls(kind, lambda: Path(name).open("rb"), name, ignore, **options)

    @property
    def format(self) -> Format:
        """Return the format that was found: ``"csv"``, ``"jsonl"``, ``"json"`` (an array), ``"ids"`` or ``"xlsx"``."""
        return self._layout.format

    @property
    def encoding(self) -> str | None:
        """Return in what the text is written, by Python's name; None for a workbook."""
        return None if self._text is None else self._text.charset.codec

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns that are read: for each field the file's own name of it; none where there is no header."""
        return {field: name for field, name in zip(self._fields, self._names, strict=True) if field is not None}

    @property
    def notes(self) -> tuple[str, ...]:
        """Return in sentences what a user should know of how the file was read, before anything is sent."""
        return tuple(filter(None, (self._note_of_charset(), self._note_of_columns(), self._note_of_limit())))

    @property
    def is_cut(self) -> bool:
        """Whether the last row has no line end: the file may not be whole."""
        if self._text is None or self.format == "json" or self._all > len(self):
            return False
        return self._text.is_cut(f"{self._layout.delimiter} \t")

    def levels(self) -> Counter[str | None]:
        """Count the rows by level, where rows of this kind have levels; None where it cannot be told."""
        level = self.kind.level
        return Counter() if level is None else Counter(map(level, self))

    def has(self, field: str) -> bool:
        """Whether there is a column for a field, or a record of JSON with it."""
        return field in self._fields or (self.format in {"jsonl", "json"} and any(row.holds(field) for row in self))

    @property
    def comments(self) -> int:
        """Count the lines of a list of ids that begin with ``#``: they are comments, and no rows."""
        return self._text.comments() if self._text is not None and self.format == "ids" else 0

    def __len__(self) -> int:
        return self._all if self._limit is None else min(self._all, self._limit)

    def __iter__(self) -> Iterator[Row]:
        rows = starmap(self._form(), self._below())
        return rows if self._limit is None else islice(rows, self._limit)

    def _form(self) -> Callable[[int, Any], Row]:
        charset = Charset() if self._text is None else self._text.charset
        if self.format == "ids":
            return LineForm(self.kind, charset).row
        if not self._has_header:
            return JsonForm(self._naming, charset).row
        columns = self.columns
        form = CsvForm(self._fields, columns, charset)
        if self._text is not None:
            return form.row
        from omeda_async.rows._workbook import SheetForm  # noqa: PLC0415 few files are workbooks

        return SheetForm(form, self._fields, columns).row

    @property
    def _has_header(self) -> bool:
        return self.format in {"csv", "xlsx"}

    def _below(self) -> Iterator[tuple[int, Any]]:
        return islice(self._cells(), 1, None) if self._has_header else self._records()

    def _cells(self) -> Iterator[tuple[int, Any]]:
        if self._sheet is not None:
            return self._sheet.rows()
        return cast("Text", self._text).cells(self._layout.delimiter)

    def _records(self) -> Iterator[tuple[int, str]]:
        text = cast("Text", self._text)
        return text.elements() if self.format == "json" else text.records(comments=self.format == "ids")

    def _counted(self) -> int:
        if self.format == "csv":
            return cast("Text", self._text).count_cells(self._layout.delimiter) - 1
        return sum(1 for _ in self._below())

    def _header(self) -> tuple[list[str], tuple[str | None, ...]]:
        rows = islice(self._cells(), _LOOKED_AT)
        number, cells = next(rows, (0, []))
        if not number:
            raise ConfigurationError(f"{self.name} holds no rows: {self.kind.expected}")
        if isinstance(cells, InvalidRecord):
            raise ConfigurationError(f"{self.name}: the header (row {number}) {cells.reason}")
        names = self._headings(cells)
        hint = ""
        if not self._is_header(names):
            later = next((at for at, cells in rows if self._is_header(self._headings(cells))), None)
            if later:
                above = "remove what is above it and is no record"
                hint = f"; row {later} looks like the header: make it the first, and {above}"
        if self._layout.format == "csv" and not self._layout.is_said:
            self._naming.check_apart(names, self.name, self._layout.delimiter)
        return names, self._naming.fields(names, self.name, self._layout.delimiter, hint)

    def _headings(self, cells: Any) -> list[str]:
        if isinstance(cells, InvalidRecord):
            return []
        names = [cell.strip() for cell in cells] if self._sheet is None else self._sheet.headings(cells)
        while names and not names[-1]:
            names.pop()
        return names

    def _is_header(self, names: Iterable[str]) -> bool:
        return any(self._naming.field(name) == self.kind.target for name in names)

    def _note_of_charset(self) -> str:
        if self._text is None or not self._text.charset.is_guess:
            return ""
        codec = self._text.charset.codec
        return (
            f"{self.name} is not UTF-8: that it is {codec} is a guess. Look at its texts, and say --encoding {codec} "
            "(encoding=) or another one"
        )

    def _note_of_columns(self) -> str:
        if not self._naming.leaves_others_out or self.format == "ids":
            return ""
        names, fields, what = self._names, self._fields, "columns"
        if not self._has_header:
            names = list(dict.fromkeys(name for _, text in self._records() for name in names_in(text)))
            fields, what = tuple(map(self._naming.field, names)), "fields"
        left_out = fields.count(None)
        if not left_out:
            return ""
        read = ", ".join(f"{name!r} as {field}" for name, field in zip(names, fields, strict=True) if field)
        verb = "is" if left_out == 1 else "are"
        return (
            f"Of the {what} of {self.name} {left_out:,} {verb} left out; read {'are ' if read else 'is '}"
            f"{mask_emails(read) or 'none'}{self._naming.told_of_choosing(names, fields)}"
        )

    def _note_of_limit(self) -> str:
        return (
            f"Only the first {len(self):,} of {self._all:,} rows of {self.name} are read"
            if len(self) < self._all
            else ""
        )


def _reason(problem: OSError) -> str:
    return problem.strerror or type(problem).__name__  # what opens elsewhere may give no more
