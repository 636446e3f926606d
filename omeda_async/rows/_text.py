"""A file of text: in what it is written, and its lines, rows of cells and elements, each with its number."""

import csv
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from itertools import islice
from typing import BinaryIO, Final, cast

from omeda_async.errors import ConfigurationError, InvalidRecord
from omeda_async.rows._charset import BLANKS, charset_of, survey
from omeda_async.rows._source import Blocks, Source, in_lines

_ENDLESS: Final = ("unexpected end of data", "field larger than field limit")
_STRAY: Final = "' expected after '\"'"


class Text:
    """The text of a file; any number of passes may go through it at the same time.

    Args:
        source: Its bytes.
        encoding: In what it is written, as the user says; None to find it out.

    Raises:
        ConfigurationError: It is no text, or not in that encoding.
    """

    def __init__(self, source: Source, encoding: str | None) -> None:
        self._source = source
        self.name = source.name
        self._seen = survey(source.blocks())
        self.charset = charset_of(self._seen, source.blocks(), encoding, self.name)
        self.skipped = 0
        """How many of the first lines are none of the rows."""

    @property
    def start(self) -> str:
        """Return the first characters that are not blank."""
        return self._seen.head.decode(self.charset.codec, "replace").lstrip()

    def is_cut(self, blanks: str) -> bool:
        """Whether the last line has no end; some characters, such as delimiters, are no line by themselves."""
        codec = self.charset.codec
        if codec == "utf-16":
            codec = "utf-16-be" if self._seen.head.startswith(b"\xfe\xff") else "utf-16-le"
        last = self._seen.tail.decode(codec, "replace").rpartition("\n")[2]
        return not last.endswith("\r") and bool(last.strip(blanks))

    def whole(self) -> TextIOWrapper:
        """Open the text for reading however long its lines are."""
        return self._opened(self._source.blocks())

    def lines(self) -> TextIOWrapper:
        """Open the text for reading line by line."""
        text = self._opened(in_lines(self._source.blocks(), self.name))
        for _ in islice(text, self.skipped):
            pass
        return text

    def _opened(self, blocks: Iterator[bytes]) -> TextIOWrapper:
        data = cast("BinaryIO", Blocks(blocks))
        return TextIOWrapper(data, encoding=self.charset.codec, errors="surrogateescape", newline="")

    def cells(self, delimiter: str) -> Iterator[tuple[int, list[str] | InvalidRecord]]:
        """Return the number and the cells of each row that is not blank, the header among them.

        Raises:
            ConfigurationError: A quote is never closed, so that nobody can tell where the rows end.
        """
        number = 0
        reader = csv.reader(self.lines(), delimiter=delimiter, strict=True)
        while True:
            try:
                for number, cells in enumerate(reader, number + 1):  # noqa: B020 it goes on where it was
                    if (cells and cells[0].strip()) or any(map(str.strip, cells)):
                        yield number, cells
            except csv.Error as problem:
                number += 1
                if str(problem).startswith(_ENDLESS):
                    raise ConfigurationError(f"{self.name}: {_endless(number, str(problem))}") from None
                yield number, InvalidRecord.of(None, f"cannot be read as CSV: {_unreadable(str(problem))}")
            else:
                return

    def count_cells(self, delimiter: str) -> int:
        """Count the rows that are not blank, the header among them."""
        found, longest = 0, csv.field_size_limit()
        for line in self.lines():
            if '"' in line or len(line) > longest:  # only who reads the cells can tell what is a row
                return sum(1 for _ in self.cells(delimiter))
            found += line[0].isalnum() or bool(line.replace(delimiter, "").strip())
        return found

    def records(self, *, comments: bool) -> Iterator[tuple[int, str]]:
        """Return the number and the text of each line that is not blank, without comments where there are such."""
        for number, line in enumerate(self.lines(), 1):
            if (text := line.strip(BLANKS)) and not (comments and text[0] == "#") and (text.isascii() or line.strip()):
                yield number, text

    def elements(self) -> Iterator[tuple[int, str]]:
        """Return the number and the text of each element of a JSON array."""
        from omeda_async.rows._array import elements  # noqa: PLC0415 few files are arrays

        return elements(self.whole(), self.name)

    def comments(self) -> int:
        """Count the lines that begin with ``#``."""
        return sum(map(is_comment, self.lines()))


def is_comment(line: str) -> bool:
    """Whether a line is a comment in a list of ids."""
    return line.lstrip().startswith("#")


def first_cells(line: Iterable[str], delimiter: str) -> list[str]:
    """Return the cells of a line; none where one of them is longer than any of a CSV may be."""
    try:
        return next(csv.reader(line, delimiter=delimiter), [])
    except csv.Error:
        return []


def _endless(number: int, problem: str) -> str:
    if problem == _ENDLESS[0]:
        return f"a quote opened in row {number} is never closed"
    longest = csv.field_size_limit()
    return f"a cell of row {number} is longer than {longest:,} characters: is a quote opened in it never closed?"


def _unreadable(problem: str) -> str:
    if problem.endswith(_STRAY):
        return 'a cell goes on behind the quotation mark that ends it: write a quotation mark within a cell twice ("")'
    return problem
