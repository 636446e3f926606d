"""Opening FILE: a path, a pipe, or ``-`` for standard input. What is read of it is one private copy."""

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from omeda_async import ConfigurationError
from omeda_async.cli._files import refusing
from omeda_async.cli._order import Asked
from omeda_async.rows import RowFile, RowKind

AT_ONCE = 1024 * 1024
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def opened(kind: RowKind, asked: Asked) -> Iterator[RowFile]:
    """Open the input as rows that can be counted, and read more than once.

    It is copied to its end first, into a nameless file that only this user can read and that ends with this process,
    whatever ends it: what is planned, confirmed and sent is one and the same, whoever writes to the input meanwhile.

    Raises:
        ConfigurationError: It cannot be read or copied, changes meanwhile, or holds no rows of this kind.
    """
    if not asked.file:
        raise ConfigurationError("FILE must be the path of a file, or - for standard input: it is empty")
    name = "standard input" if asked.file == "-" else asked.file
    columns = _columns(asked.column or ())
    with _private(name) as copy:
        with refusing(f"{name} cannot be read"), _source(asked.file) as source:
            _copy(source, copy, name)
        yield RowFile(
            kind,
            lambda: _again(copy),
            name,
            asked.ignore_column or (),
            columns=columns,
            ignore_other_columns=asked.ignore_other_columns,
            encoding=asked.encoding,
            delimiter=asked.delimiter,
            sheet=asked.sheet,
            limit=asked.limit,
        )


def _columns(given: Iterable[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for one in given:
        field, equals, name = one.partition("=")
        if not equals or not field.strip() or not name.strip():
            raise ConfigurationError(f"--column {one!r} must be FIELD=NAME, such as email_address='Contact Mail'")
        if field in columns:
            raise ConfigurationError(f"--column names {field} twice: {columns[field]!r} and {name!r}")
        columns[field] = name
    return columns


@contextmanager
def _private(name: str) -> Iterator[BinaryIO]:
    with refusing(f"{name} cannot be copied, and is not read twice"):
        copy = tempfile.TemporaryFile()  # noqa: SIM115 it is closed below
    with copy:
        yield copy


@contextmanager
def _source(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        if sys.stdin is None:  # a process may be started without
            raise OSError(errno.EBADF, "it is closed")
        yield sys.stdin.buffer
    else:
        with Path(file).open("rb") as source:
            yield source


def _copy(source: BinaryIO, copy: BinaryIO, name: str) -> None:
    before = _state(source)
    start = source.tell() if before is not None else 0
    for data in _blocks(source):
        _write(copy, data, name)
    if before is None:
        return
    # Times are some milliseconds coarse, and can be set: the content has to be the same, too.
    source.seek(start)
    copy.seek(0)
    same = all(one == other for one, other in zip_longest(_blocks(source), _blocks(copy)))
    if not same or _state(source) != before:
        raise ConfigurationError(f"{name} was changed while it was read: give a copy that nobody writes to")


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(AT_ONCE), b"")


def _write(copy: BinaryIO, data: bytes, name: str) -> None:
    try:
        copy.write(data)
        copy.flush()
    except OSError as problem:
        way_out = "; set TMPDIR to a directory with more room" if problem.errno in FULL else ""
        where = tempfile.gettempdir()
        raise ConfigurationError(f"{name} cannot be copied to {where}: {problem.strerror}{way_out}") from problem


def _state(source: BinaryIO) -> tuple[int, ...] | None:
    """Return what changes when a file is written to; None for what is none."""
    try:
        found = os.fstat(source.fileno())
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns) if stat.S_ISREG(found.st_mode) else None


def _again(copy: BinaryIO) -> BinaryIO:
    copy.seek(0)
    return os.fdopen(os.dup(copy.fileno()), "rb")
