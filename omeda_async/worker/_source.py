"""Where the rows of a deferred file come from: a path, a ``file:`` URL, or anything that opens like one."""

from os import PathLike, fspath
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, Unpack
from urllib.parse import unquote, urlsplit

from omeda_async.errors import ConfigurationError
from omeda_async.rows import RowKind
from omeda_async.rows._file import RowFile, RowOptions


class Opens(Protocol):
    """What opens itself for reading bytes, at any position: a ``UPath``, a ``zipfile.Path``, a file of ``fsspec``."""

    def open(self, mode: str, /) -> BinaryIO:
        """Open it."""


Source: TypeAlias = "str | PathLike[str] | Opens"


def rows_at(source: Source, kind: RowKind, **options: Unpack[RowOptions]) -> RowFile:
    """Open a file of rows; it blocks.

    Raises:
        ConfigurationError: It cannot be read, or not as rows of this kind; or the URL is none that can be opened.
    """
    if isinstance(source, str | Path):
        return RowFile.at(kind, _path(source), **options)
    if hasattr(source, "open"):  # also what has a path of its own, but opens it elsewhere
        opens = source.open
        return RowFile(kind, lambda: opens("rb"), _name(source), **options)
    if isinstance(source, PathLike):
        return RowFile.at(kind, fspath(source), **options)
    raise ConfigurationError(f"a file must be a path, or have open('rb'): not {type(source).__name__}")


def _path(source: str | Path) -> str | Path:
    scheme, is_url, _ = str(source).partition("://")
    if not is_url or isinstance(source, Path):
        return source
    if scheme != "file":
        raise ConfigurationError(
            "a file must be a path, a file: URL, or an object that opens itself, such as UPath('s3://…') of "
            "universal-pathlib: no other URL is opened here"
        )
    return unquote(urlsplit(source).path)


def _name(source: object) -> str:
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else type(source).__name__
