"""Where the rows of a deferred file come from: a path, a ``file:`` URL, or anything that opens like one."""

from collections.abc import Callable
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, Unpack
from urllib.parse import unquote, urlsplit

from omeda_async.errors import ConfigurationError
from omeda_async.rows import RowKind
from omeda_async.rows._file import RowFile, RowOptions


class Opens(Protocol):
    """What opens itself for reading bytes, at any position: a ``UPath``, a ``zipfile.Path``."""

    def open(self, mode: str, /) -> BinaryIO:
        """Open it."""


Source: TypeAlias = "str | PathLike[str] | Opens"


def rows_at(source: Source, kind: RowKind, **options: Unpack[RowOptions]) -> RowFile:
    """Open a file of rows; it blocks.

    Raises:
        ConfigurationError: It cannot be read, or not as rows of this kind; or the URL is none that can be opened.
    """
    if isinstance(source, str):
        return RowFile.at(kind, _path(source), **options)
    if type(source) is type(Path()):
        return RowFile.at(kind, source, **options)
    if hasattr(source, "open"):  # also what is a Path, or has one of its own, but opens it elsewhere
        return RowFile(kind, _opener(source), _name(source), **options)
    if isinstance(source, PathLike):
        return RowFile.at(kind, fspath(source), **options)
    raise ConfigurationError(f"a file must be a path, or have open('rb'): not {type(source).__name__}")


def _path(source: str) -> str:
    scheme, is_url, _ = source.partition("://")
    if not is_url:
        return source
    if scheme != "file":
        raise ConfigurationError(
            "a file must be a path, a file: URL, or an object that opens itself, such as UPath('s3://…') of "
            "universal-pathlib: no other URL is opened here"
        )
    return unquote(urlsplit(source).path)


def _opener(source: Any) -> Callable[[], BinaryIO]:
    mode = getattr(source, "mode", None)
    if not isinstance(mode, str):
        return partial(source.open, "rb")
    if mode != "rb":  # fsspec's OpenFile was told when it was made, and its open takes none
        raise ConfigurationError(f"a file must be opened for reading bytes, with mode 'rb': not {mode!r}")
    opens: Callable[[], BinaryIO] = source.open
    return opens


def _name(source: object) -> str:
    names = (getattr(source, name, None) for name in ("name", "path"))
    return next((name for name in names if isinstance(name, str) and name), type(source).__name__)
