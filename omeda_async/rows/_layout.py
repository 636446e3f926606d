"""How a file of text is to be read: found out from its name, its first line and what was said."""

import re
from pathlib import PurePath
from typing import Final, Literal, NamedTuple

from omeda_async.errors import ConfigurationError
from omeda_async.rows._naming import Naming, unusable
from omeda_async.rows._text import Text, first_cells, is_comment

Format = Literal["csv", "jsonl", "json", "ids", "xlsx"]

_DELIMITERS: Final = (",", ";", "\t")
_BY_NAME: Final = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_SAID: Final = re.compile(r'"?sep=(.?)"?\s*', re.IGNORECASE)
"""The line before the header in which Excel says what separates the cells; it shows it to nobody."""
_FORMATS: Final = {".csv": "csv", ".tsv": "csv", ".json": "jsonl", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class Layout(NamedTuple):
    """How a file is to be read."""

    format: Format
    delimiter: str = ","
    is_said: bool = False
    """Whether the user or the file says so."""


def known_delimiter(said: str | None) -> str | None:
    """Return what separates the cells, by itself or by its name.

    Raises:
        ConfigurationError: It cannot.
    """
    found = _BY_NAME.get((said or "").lower(), said)
    if found is not None and (len(found) != 1 or found.isalnum() or found in "\"'@.\r\n " or not found.isascii()):
        raise ConfigurationError(f"{said!r} is no delimiter: give one sign such as , ; | or tab")
    return found


def find_layout(text: Text, naming: Naming, said: str | None) -> Layout:
    """Find out how a text is to be read; a line about the delimiter above the header is skipped from then on.

    Args:
        text: The text.
        naming: What its names stand for.
        said: The delimiter, as the user says; then it is CSV.

    Raises:
        ConfigurationError: It cannot be read as records of this kind.
    """
    by_name = _FORMATS.get(PurePath(text.name.removesuffix(".gz")).suffix.lower())
    if said is not None:
        return _as_said(text, said, by_name)
    if text.start.startswith("[") and by_name != "csv":
        return Layout("json")
    marked = _marked(text)
    first = _first_line(text, naming)
    if marked is not None:
        return Layout("csv", marked, is_said=True)
    delimiter = max(_DELIMITERS, key=lambda one: (_known_in(first, one, naming), first.count(one)))
    known = _known_in(first, delimiter, naming)
    # A quotation mark may begin a line of JSON or a cell: where it is a column's name that is quoted, a cell.
    starts = "{" if known or not naming.kind.bare else '{"'
    if by_name == "jsonl" and known and first.lstrip()[0] not in starts:
        raise ConfigurationError(
            f"{text.name} is JSON by its name, and CSV by its first line: let its name end in .csv"
        )
    if by_name == "jsonl" or (by_name is None and first.lstrip()[0] in starts):
        if first.strip() == "{":
            raise ConfigurationError(
                f"{text.name} is one JSON object over several lines: give an array, or JSON Lines; if its "
                "records are in a list in it, give that list alone"
            )
        return Layout("jsonl")
    if by_name == "csv" or known or any(one in first for one in _DELIMITERS):
        return Layout("csv", delimiter)
    if not naming.kind.bare:
        raise unusable(naming.kind, text.name, [first.strip()])
    return Layout("ids")


def _as_said(text: Text, said: str, by_name: str | None) -> Layout:
    if by_name == "jsonl":
        raise ConfigurationError(f"{text.name} is JSON by its name, which has no delimiter: leave it out")
    marked = _marked(text)
    if marked not in {None, said}:
        raise ConfigurationError(
            f"{text.name} says sep={marked} in its first line, and {said!r} is given: leave it out"
        )
    return Layout("csv", said, is_said=True)


def _marked(text: Text) -> str | None:
    """Return what the line before the header says about the delimiter, and skip that line; None without one."""
    found = _SAID.fullmatch(next(text.lines(), ""))
    if found is None:
        return None
    if found[1] not in {*_DELIMITERS, "|"}:
        raise ConfigurationError(f"{text.name}: sep={found[1]} in its first line is none of , ; | and a tab")
    text.skipped = 1
    return found[1]


def _first_line(text: Text, naming: Naming) -> str:
    """Return the first line that is neither blank nor, in a list of ids, a comment."""
    first = None
    for line in text.lines():
        if not line.strip():
            continue
        if not is_comment(line) or any(_known_in(line, one, naming) for one in _DELIMITERS):
            return line
        first = first or line
    if first is None:
        raise ConfigurationError(f"{text.name} holds no rows: {naming.kind.expected}")
    return first


def _known_in(line: str, delimiter: str, naming: Naming) -> int:
    return sum(naming.field(cell) is not None for cell in first_cells([line], delimiter))
