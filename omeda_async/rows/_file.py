"""A file of rows: its format is found out, and its rows are numbered as a spreadsheet or an editor shows them."""

import csv
import os
import re
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedIOBase, TextIOWrapper
from itertools import islice, starmap
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple, cast

from omeda_async._masking import mask_emails
from omeda_async._row import Row
from omeda_async.errors import ConfigurationError, InvalidRecord
from omeda_async.rows._convert import BLANKS, CsvForm, JsonForm, LineForm, names_in
from omeda_async.rows._kinds import RowKind, plain

_DELIMITERS: Final = (",", ";", "\t")
_SAID: Final = re.compile(r'"?sep=(.?)"?\s*', re.IGNORECASE)
"""The line before the header in which Excel says what separates the cells; it shows it to nobody."""
_FORMATS: Final = {".csv": "csv", ".tsv": "csv", ".json": "jsonl", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_MARKS: Final = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_UTF_32: Final = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_ENDLESS: Final = ("unexpected end of data", "field larger than field limit")
_AT_ONCE: Final = 64 * 1024
_TAIL: Final = 4096
_NAMES_SHOWN: Final = 12
_LONGEST_SHOWN: Final = 40


class _Layout(NamedTuple):
    """How a file is to be read."""

    format: str
    encoding: str
    delimiter: str = ","
    fields: tuple[str | None, ...] = ()
    """The field of each column; None for a column to be ignored."""
    columns: Mapping[str, str] = MappingProxyType({})
    """The file's own names of the fields."""


class _Source:
    """An open file, each read of which proves that it still is what it was when it was opened."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._lock = Lock()
        self._was = self._state()

    def at(self, position: int) -> bytes:
        """Read some of what stands at a position; several may do so at the same time.

        Raises:
            ConfigurationError: The file has changed, so that what was read before may not fit to this.
        """
        with self._lock:
            self._file.seek(position)
            data = self._file.read(_AT_ONCE)
        if self._state() != self._was:
            raise ConfigurationError(f"{self._name} was changed while it was read: give a copy that nobody writes to")
        return data

    def tail(self) -> bytes:
        """Return the last bytes, from a position that is a multiple of four."""
        with self._lock:
            length = self._file.seek(0, os.SEEK_END)
        return self.at(max(0, length - _TAIL) // 4 * 4)

    def _state(self) -> tuple[int, int] | None:
        try:
            found = os.fstat(self._file.fileno())
        except (AttributeError, OSError):  # it is in memory
            return None
        return found.st_size, found.st_mtime_ns


class _Pass(BufferedIOBase):
    """One way through a file, from its start; others may go through it at the same time."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def read1(self, _: int = -1, /) -> bytes:
        data = self._source.at(self._position)
        self._position += len(data)
        return data


class RowFile(Iterable[Row]):
    """The rows of a file, which can be gone through any number of times, one row in memory at a time.

    Its length is the number of rows that are not blank; they are counted when it is made, which blocks: from a
    coroutine, make it in a thread if the file is long. A file that is changed after it was opened is noticed with the
    next 64 KiB that are read of it: going through the rows then raises, and no row is pieced together of two states.

    Args:
        kind: What the rows are about.
        opened: Opens the file for reading bytes, so that any position in it can be sought. It is called once; the
            file is closed when nobody refers to the rows any more.
        name: The file's name; its ending tells the format, else its content does.
        ignore: Columns to leave out, by the names the file has for them.

    Raises:
        ConfigurationError: The file cannot be read, or not as rows of this kind; says what was expected.
    """

    def __init__(self, kind: RowKind, opened: Callable[[], BinaryIO], name: str, ignore: Iterable[str] = ()) -> None:
        self.kind = kind
        self.name = name
        try:
            file = opened()
        except OSError as problem:
            raise ConfigurationError(f"{name} cannot be read: {problem.strerror}") from problem
        weakref.finalize(self, file.close)
        self._source = _Source(file, name)
        self._skipped = 0
        self._ignored = {plain(name): name for name in ignore}
        try:
            self._layout = self._detect()
            self._count = self._counted()
        except (OSError, UnicodeError, csv.Error) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "it is no text in UTF-8 or UTF-16"
            raise ConfigurationError(f"{name} cannot be read: {reason}") from problem
        if not self._count:
            raise ConfigurationError(f"{name} holds no rows below its header")
        if self.format != "csv" and self._ignored:
            self._check_ignored((names_in(text) for _, text in self._lines()), "field")

    @classmethod
    def at(cls, kind: RowKind, path: str | Path, ignore: Iterable[str] = ()) -> "RowFile":
        """Open a file by its path.

        Raises:
            ConfigurationError: It cannot be read, or not as rows of this kind.
        """
        return cls(kind, lambda: Path(path).open("rb"), str(path), ignore)

    @property
    def format(self) -> str:
        """Return the format that was found: ``"csv"``, ``"jsonl"`` or ``"ids"``."""
        return self._layout.format

    @property
    def is_cut(self) -> bool:
        """Whether the last row has no line end: the file may not be whole."""
        data = self._source.tail()
        mark = self._source.at(0)[:2]
        encoding = "utf-16-be" if mark == b"\xfe\xff" else "utf-16-le" if mark in _MARKS else "utf-8"
        last = data.decode(encoding, "replace").rpartition("\n")[2]
        return not last.endswith("\r") and bool(last.strip(f"{self._layout.delimiter} \t"))

    def levels(self) -> Counter[str | None]:
        """Count the rows by level, where rows of this kind have levels; None where it cannot be told."""
        level = self.kind.level
        return Counter() if level is None else Counter(map(level, self))

    def has(self, field: str) -> bool:
        """Whether there is a column for a field, or a line of JSON with it."""
        if self.format == "csv":
            return field in self._layout.fields
        return self.format == "jsonl" and any(row.holds(field) for row in self)

    @property
    def comments(self) -> int:
        """Count the lines of a list of ids that begin with ``#``: they are comments, and no rows."""
        return sum(map(_is_comment, self._text(self._layout.encoding))) if self.format == "ids" else 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        if self.format == "csv":
            form = CsvForm(self._layout.fields, self._layout.columns)
            return starmap(form.row, islice(self._cells(self._layout), 1, None))
        lines = LineForm(self.kind) if self.format == "ids" else JsonForm(self.kind, self._ignored.keys())
        return starmap(lines.row, self._lines())

    def _text(self, encoding: str) -> TextIOWrapper:
        data = cast("BinaryIO", _Pass(self._source))
        text = TextIOWrapper(data, encoding=encoding, errors="surrogateescape", newline="")
        for _ in islice(text, self._skipped):
            pass
        return text

    def _detect(self) -> _Layout:
        encoding = self._encoding()
        said = self._said(encoding)
        first = self._first_line(encoding)
        if said is not None:
            return self._with_header(_Layout("csv", encoding, said))
        by_name = _FORMATS.get(Path(self.name).suffix.lower())
        delimiter = max(_DELIMITERS, key=lambda one: (self._known_in(first, one), first.count(one)))
        known = self._known_in(first, delimiter)
        # A quotation mark may begin a line of JSON or a cell: where it is a column's name that is quoted, a cell.
        starts = "{[" if known or not self.kind.bare else '{["'
        if by_name == "jsonl" or (by_name is None and first.lstrip()[0] in starts):
            return self._with_json(first, encoding)
        if by_name == "csv" or known or any(one in first for one in _DELIMITERS):
            return self._with_header(_Layout("csv", encoding, delimiter))
        if not self.kind.bare:
            raise self._unusable([first.strip()])
        return _Layout("ids", encoding)

    def _first_line(self, encoding: str) -> str:
        """Return the first line that is neither blank nor, in a list of ids, a comment."""
        first = None
        for line in self._text(encoding):
            if not line.strip():
                continue
            if not _is_comment(line) or any(self._known_in(line, one) for one in _DELIMITERS):
                return line
            first = first or line
        if first is None:
            raise self._without_rows()
        return first

    def _said(self, encoding: str) -> str | None:
        """Return what the line before the header says about the separator, and skip that line; None without one."""
        found = _SAID.fullmatch(next(self._text(encoding), ""))
        if found is None:
            return None
        if found[1] not in {*_DELIMITERS, "|"}:
            raise ConfigurationError(f"{self.name}: sep={found[1]} in its first line is none of , ; | and a tab")
        self._skipped = 1
        return found[1]

    def _unusable(self, names: list[str], delimiter: str = "") -> ConfigurationError:
        shown = ", ".join(repr(mask_emails(name)[:_LONGEST_SHOWN]) for name in names[:_NAMES_SHOWN])
        shown += " …" if len(names) > _NAMES_SHOWN else ""
        by = {"": "", "\t": ", separated by tabs"}.get(delimiter, f", separated by {delimiter}")
        return ConfigurationError(
            f"{self.name} has no usable column: its header reads {shown}{by}; {self.kind.expected}"
        )

    def _without_rows(self) -> ConfigurationError:
        return ConfigurationError(f"{self.name} holds no rows: {self.kind.expected}")

    def _encoding(self) -> str:
        start = self._source.at(0)[:1024]
        if start.startswith(b"PK\x03\x04"):
            raise ConfigurationError(f"{self.name} is a workbook or an archive: save the sheet as CSV first")
        if start.startswith(_UTF_32):
            raise ConfigurationError(f"{self.name} is written in UTF-32: save it as UTF-8")
        encoding = _MARKS.get(start[:2], "utf-8-sig")
        if encoding == "utf-8-sig" and b"\0" in start:
            raise ConfigurationError(f"{self.name} is no text file: {self.kind.expected}")
        return encoding

    def _known_in(self, line: str, delimiter: str) -> int:
        cells = next(csv.reader([line], delimiter=delimiter), [])
        return sum(self.kind.field(cell) is not None for cell in cells)

    def _with_json(self, first: str, encoding: str) -> _Layout:
        if first.lstrip().startswith("["):
            raise ConfigurationError(f"{self.name} is a JSON array: give JSON Lines, one object a line")
        return _Layout("jsonl", encoding)

    def _with_header(self, layout: _Layout) -> _Layout:
        number, cells = next(self._cells(layout), (0, []))
        if not number:
            raise self._without_rows()
        if isinstance(cells, InvalidRecord):
            raise ConfigurationError(f"{self.name}: the header (row {number}) {cells.reason}")
        names = [cell.strip() for cell in cells]
        while names and not names[-1]:
            names.pop()
        self._check_ignored([set(map(plain, names))], "column")
        fields = tuple(None if plain(name) in self._ignored else self.kind.field(name) for name in names)
        if self.kind.target not in fields:
            raise self._unusable(names, layout.delimiter)
        self._check_header(names, fields)
        columns = {field: name for field, name in zip(fields, names, strict=True) if field is not None}
        return layout._replace(fields=fields, columns=columns)

    def _check_ignored(self, found: Iterable[set[str]], word: str) -> None:
        missing = dict(self._ignored)
        for names in found:
            for name in names & missing.keys():
                del missing[name]
            if not missing:
                return
        if missing:
            raise ConfigurationError(f"{self.name} has no {word} {next(iter(missing.values()))!r} to leave out")

    def _check_header(self, names: list[str], fields: tuple[str | None, ...]) -> None:
        for position, (name, field) in enumerate(zip(names, fields, strict=True)):
            if field is None and plain(name) not in self._ignored:
                shown = f"column {name!r}" if name else f"column {position + 1}, which has no name,"
                raise ConfigurationError(
                    f"{self.name}: {shown} stands for no field of {self.kind.what} (known are "
                    f"{', '.join(self.kind.fields)}): rename it, remove it, or have it ignored "
                    "(--ignore-column NAME on the command line, ignore= in Python)"
                )
            if field is not None and field in fields[:position]:
                earlier = names[fields.index(field)]
                raise ConfigurationError(f"{self.name}: columns {earlier!r} and {name!r} both are {field}")

    def _cells(self, layout: _Layout) -> Iterator[tuple[int, list[str] | InvalidRecord]]:
        """Return the number and the cells of each row that is not blank, the header among them.

        Raises:
            ConfigurationError: A quote is never closed, so that nobody can tell where the rows end.
        """
        number = 0
        reader = csv.reader(self._text(layout.encoding), delimiter=layout.delimiter, strict=True)
        while True:
            try:
                for number, cells in enumerate(reader, number + 1):  # noqa: B020 it goes on where it was
                    if (cells and cells[0].strip()) or any(map(str.strip, cells)):
                        yield number, cells
            except csv.Error as problem:
                number += 1
                if str(problem).startswith(_ENDLESS):
                    raise ConfigurationError(f"{self.name}: {_endless(number, str(problem))}") from None
                yield number, InvalidRecord.of(None, f"cannot be read as CSV: {problem}")
            else:
                return

    def _lines(self) -> Iterator[tuple[int, str]]:
        listed = self.format == "ids"
        for number, line in enumerate(self._text(self._layout.encoding), 1):
            if (text := line.strip(BLANKS)) and not (listed and text[0] == "#") and (text.isascii() or line.strip()):
                yield number, text

    def _counted(self) -> int:
        if self.format != "csv":
            return sum(1 for _ in self._lines())
        below, longest = 0, csv.field_size_limit()
        for line in self._text(self._layout.encoding):
            if '"' in line or len(line) > longest:  # only who reads the cells can tell what is a row
                return sum(1 for _ in self._cells(self._layout)) - 1
            below += line[0].isalnum() or bool(line.replace(self._layout.delimiter, "").strip())
        return below - 1


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _endless(number: int, problem: str) -> str:
    if problem == _ENDLESS[0]:
        return f"a quote opened in row {number} is never closed"
    longest = csv.field_size_limit()
    return f"a cell of row {number} is longer than {longest:,} characters: is a quote opened in it never closed?"
