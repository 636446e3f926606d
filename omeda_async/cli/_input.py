"""Opening FILE: a path, a pipe, or ``-`` for standard input."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from omeda_async import ConfigurationError
from omeda_async.rows import RowFile, RowKind


@contextmanager
def opened(kind: RowKind, file: str, ignore: Iterable[str]) -> Iterator[RowFile]:
    """Open the input as rows that can be counted, and read more than once.

    A pipe is read to its end first, into a nameless file that ends with this process, so that an input that breaks off
    is not sent in part.

    Raises:
        ConfigurationError: It cannot be read, or holds no rows of this kind.
    """
    if file != "-" and (Path(file).is_file() or not Path(file).exists()):
        yield RowFile.at(kind, file, ignore)
        return
    with tempfile.TemporaryFile() as copy:
        _copy(file, copy)
        yield RowFile(kind, lambda: _again(copy), "standard input" if file == "-" else file, ignore)


def _copy(file: str, copy: BinaryIO) -> None:
    try:
        if file == "-":
            shutil.copyfileobj(sys.stdin.buffer, copy)
        else:
            with Path(file).open("rb") as pipe:
                shutil.copyfileobj(pipe, copy)
        copy.flush()
    except OSError as problem:
        raise ConfigurationError(f"{file} cannot be read: {problem.strerror}") from problem


def _again(copy: BinaryIO) -> BinaryIO:
    copy.seek(0)
    return os.fdopen(os.dup(copy.fileno()), "rb")
