"""What the file of a workbook tells beside the values: its sheets, how large they are, and which cells mislead.

A workbook is a ZIP archive of XML. All of it is bounded before anybody unfolds it, and a sheet is looked through in
pieces: an archive of some KiB may claim to hold more than there is memory.
"""

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from copy import copy
from typing import Final, NoReturn
from xml.etree import ElementTree as ET

import attrs

from omeda_async.errors import ConfigurationError

LARGEST: Final = 512 * 1024 * 1024
"""Bytes of XML in all."""
_ENDLESS: Final = 2**62
_MOST_CELLS: Final = 30_000_000
_SMALL: Final = 16 * 1024 * 1024
_AT_ONCE: Final = 1024 * 1024
_LARGEST_ROW: Final = 64 * 1024 * 1024

_RELATION: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_STRICT_RELATION: Final = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"
# As nearly all programs write them, which is found in a fifth of the time; and as XML lets them be written.
_USUAL: Final = (re.compile(rb' r="([A-Z]{1,3})'), re.compile(rb' r="[A-Z]*([0-9]{1,9})'))
_UNUSUAL: Final = (b"='", b" =", b"= ", b"\n", b"\t", b"\r")
_ANYHOW: Final = (
    re.compile(rb"""\sr\s*=\s*["']([A-Z]{1,3})"""),
    re.compile(rb"""\sr\s*=\s*["'][A-Z]*([0-9]{1,9})"""),
)
_CELL: Final = re.compile(rb"""<(?:\w+:)?c\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?c>)""", re.DOTALL)
_PLACE: Final = re.compile(rb"""\br\s*=\s*["']([A-Z]{1,3})([0-9]{1,9})["']""")
_STYLE: Final = re.compile(rb"""\bs\s*=\s*["']([0-9]+)["']""")
_TYPE: Final = re.compile(rb"""\bt\s*=\s*["'](\w+)["']""")
_VALUE: Final = re.compile(rb"<(?:\w+:)?v(?:\s[^>]*)?>([^<]*)<")
_HIDDEN: Final = re.compile(
    rb"""<(?:\w+:)?row\b(?=[^>]*\bhidden\s*=\s*["'](?:1|true)["'])[^>]*\br\s*=\s*["']([0-9]+)["'][^>]*[^/]>\s*<(?!/)"""
)
_PADDED: Final = re.compile(r"0{2,}|[^0#?.,;_\-() %@*\\]")

_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError, RuntimeError)
"""What reading a damaged archive may raise; a negative place in it is a ValueError."""

ERROR: Final = "holds an error of the spreadsheet (such as #N/A): mend it there"
NO_VALUE: Final = "is a formula whose value the file does not hold: open the file in a spreadsheet program and save it"
FORMATTED: Final = (
    "is a number that is shown in a form of its own (such as 00123), which is not what the file holds: "
    "format the column as text, and enter it once more"
)


@attrs.define
class Findings:
    """What a look at a sheet has shown."""

    cells: dict[int, dict[int, str]] = attrs.field(factory=dict)
    """By row from 1 and column from 0: why a cell is not what it seems to be."""
    hidden: list[int] = attrs.field(factory=list)
    """Rows that hold something and are not shown."""


class Package:
    """The archive.

    Raises:
        ConfigurationError: It is no workbook, is not whole, or holds too much.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._name = name
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except _DAMAGED:
            raise ConfigurationError(f"{name} is damaged or not whole: save the sheet as CSV, or get it anew") from None
        self._check_size()
        self._sheets = self._listed()

    def choose(self, wanted: str | None) -> str:
        """Return the title of the sheet to read.

        Raises:
            ConfigurationError: It is not there, or several come into question.
        """
        if wanted is not None:
            if wanted not in self._sheets:
                raise ConfigurationError(f"{self._name} has no sheet {wanted!r}: it has {_titles(self._sheets)}")
            return wanted
        filled = [title for title, (part, visible) in self._sheets.items() if visible and self._holds_cells(part)]
        if not filled:
            raise ConfigurationError(f"{self._name} has no visible sheet that holds anything")
        if len(filled) > 1:
            raise ConfigurationError(
                f"{self._name} has several sheets, {_titles(filled)}: say which one with --sheet NAME (sheet=)"
            )
        return filled[0]

    def findings(self, title: str) -> Findings:
        """Look a sheet through.

        Raises:
            ConfigurationError: It is not whole, spans too many cells, or a filter hides some of its rows.
        """
        found, odd_styles = Findings(), self._odd_styles()
        columns: set[bytes] = set()
        rows: set[bytes] = set()
        for piece in self._pieces(self._sheets[title][0]):
            column_of, row_of = _ANYHOW if any(sign in piece for sign in _UNUSUAL) else _USUAL
            columns.update(column_of.findall(piece))
            rows.update(row_of.findall(piece))
            if b"hidden" in piece:
                found.hidden += map(int, _HIDDEN.findall(piece))
            if odd_styles or b'"e"' in piece or b"'e'" in piece or b"<f" in piece or b":f" in piece:
                _look(piece, odd_styles, found)
        width, height = max(map(_column, columns), default=-1) + 1, max(map(int, rows), default=0)
        if width * height > _MOST_CELLS:
            raise ConfigurationError(
                f"{self._name}: sheet {title!r} spans {height:,} rows and {width:,} columns, too many to be read: "
                "save it as CSV"
            )
        if found.hidden:
            raise ConfigurationError(
                f"{self._name}: sheet {title!r} hides rows ({_some(found.hidden)}), perhaps by a filter: "
                "show them all, or copy those that are meant to a sheet of their own"
            )
        return found

    def _check_size(self) -> None:
        """Refuse what unfolds too far: whatever it says of itself, all of it is unfolded once, and thrown away."""
        length = 0
        for part in self._archive.infolist():
            if part.flag_bits & 1:
                raise ConfigurationError(f"{self._name} is encrypted: save it without a password")
            if not part.filename.endswith((".xml", ".rels")):
                continue
            real = copy(part)
            real.file_size = _ENDLESS  # else as much is read as it says, and no more is noticed
            for data in self._unfolded(real):
                length += len(data)
                if length > LARGEST:
                    raise ConfigurationError(
                        f"{self._name} unfolds to more than {LARGEST // 2**20} MiB: save it as CSV"
                    )

    def _unfolded(self, part: zipfile.ZipInfo) -> Iterator[bytes]:
        try:
            with self._archive.open(part) as stream:
                while data := stream.read(_AT_ONCE):
                    yield data
        except _DAMAGED:
            self._damaged()

    def _listed(self) -> dict[str, tuple[str, bool]]:
        """Return the sheets by their titles: the part of the archive, and whether it is visible."""
        parts = set(self._archive.namelist())
        if "xl/workbook.xml" not in parts:
            is_other = bool(parts & {"xl/workbook.bin", "content.xml"})
            other = "a workbook of another kind (.xlsb, .ods)" if is_other else "a ZIP archive"
            raise ConfigurationError(f"{self._name} is {other}: give the .xlsx or the CSV itself")
        targets = {
            one.get("Id", ""): posixpath.normpath(posixpath.join("/xl", one.get("Target", ""))).lstrip("/")
            for one in self._small("xl/_rels/workbook.xml.rels").findall(".//{*}Relationship")
        }
        found = {}
        for sheet in self._small("xl/workbook.xml").findall(".//{*}sheet"):
            part = targets.get(sheet.get(_RELATION) or sheet.get(_STRICT_RELATION) or "", "")
            if part in parts and "worksheet" in part:
                found[sheet.get("name", "")] = part, sheet.get("state", "visible") == "visible"
        return found

    def _odd_styles(self) -> frozenset[bytes]:
        """Return the styles in which a number is not shown as its digits."""
        if "xl/styles.xml" not in self._archive.namelist():
            return frozenset()
        styles = self._small("xl/styles.xml")
        odd = {one.get("numFmtId") for one in styles.findall(".//{*}numFmt") if _is_odd(one.get("formatCode", ""))}
        cells = styles.find("{*}cellXfs")
        numbered = enumerate(() if cells is None else cells.findall("{*}xf"))
        return frozenset(str(number).encode() for number, one in numbered if one.get("numFmtId") in odd)

    def _small(self, part: str) -> ET.Element:
        try:
            if self._archive.getinfo(part).file_size > _SMALL:
                self._damaged()
            return ET.fromstring(self._archive.read(part))  # noqa: S314 it is small, and entities are bounded by expat
        except (KeyError, ET.ParseError, *_DAMAGED):
            self._damaged()

    def _holds_cells(self, part: str) -> bool:
        return any(_CELL.search(piece) for piece in self._pieces(part))

    def _pieces(self, part: str) -> Iterator[bytes]:
        """Go through the XML of a sheet, cut behind rows only."""
        rest = b""
        for data in self._unfolded(self._archive.getinfo(part)):
            rest += data
            end = rest.rfind(b"row>") + 4
            if end > 4:
                yield rest[:end]
                rest = rest[end:]
            elif len(rest) > _LARGEST_ROW:
                self._damaged()
        yield rest

    def _damaged(self) -> NoReturn:
        raise ConfigurationError(f"{self._name} is damaged: save the sheet as CSV, or get it anew")


def _look(piece: bytes, odd_styles: frozenset[bytes], found: Findings) -> None:
    for cell in _CELL.finditer(piece):
        attributes, content = cell[1], cell[2] or b""
        kind = found_in[1] if (found_in := _TYPE.search(attributes)) else b"n"
        value = found_in[1] if (found_in := _VALUE.search(content)) else b""
        if kind == b"e":
            reason = ERROR
        elif kind != b"str" and not value and (b"<f" in content or b":f" in content):
            reason = NO_VALUE
        elif kind == b"n" and value and (style := _STYLE.search(attributes)) and style[1] in odd_styles:
            reason = FORMATTED
        else:
            continue
        if place := _PLACE.search(attributes):
            found.cells.setdefault(int(place[2]), {})[_column(place[1])] = reason


def _is_odd(code: str) -> bool:
    """Whether a format shows a whole number as something else than its digits, such as 00123 or AB-123."""
    first = code.partition(";")[0]
    bare = re.sub(r"\[[^\]]*\]|_.|\*.|E[+-]", "", first)
    is_date = re.search(r"[ymdhs]", re.sub(r'"[^"]*"|\\.', "", bare), re.IGNORECASE)  # it is read as a date then
    return not first.lower().startswith("general") and not is_date and bool(_PADDED.search(bare))


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def _titles(titles: Mapping[str, object] | list[str]) -> str:
    return ", ".join(repr(title[:40]) for title in list(titles)[:12])


def _some(rows: list[int]) -> str:
    return ", ".join(f"{row:,}" for row in rows[:5]) + (f" and {len(rows) - 5:,} more" if len(rows) > 5 else "")
