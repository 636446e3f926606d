"""The files that commands write: never over what they read, and an earlier one stays until the new one is whole."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from omeda_async import ConfigurationError

BESIDE = ("", "-wal", "-shm", "-lock", "-mark")
"""How the names of a journal's files end."""


def journal_files(journal: Path) -> Iterator[Path]:
    """Return all the files that a journal may consist of."""
    return (Path(f"{journal}{ending}") for ending in BESIDE)


def file_of(journal: str) -> Path | None:
    """Return the file of a journal; None where it is in a database."""
    return None if "://" in journal else Path(journal)


def check_output(output: str | None, *, file: str | None = None, journal: str | None = None) -> None:
    """Refuse an output that would overwrite what is read.

    Args:
        output: The file to write; None where nothing is written.
        file: The input; ``-`` is standard input.
        journal: The journal.

    Raises:
        ConfigurationError: The output is the input or the journal, under whatever name.
    """
    if output is None:
        return
    inputs = () if file is None else (Path("/dev/stdin" if file == "-" else file),)
    path = None if journal is None else file_of(journal)
    journals = () if path is None else journal_files(path)
    for what, paths in (("input", inputs), ("journal", journals)):
        if any(_same(Path(output), path) for path in paths):
            raise ConfigurationError(f"--output {output} is the {what}, which it would overwrite: give another file")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other) and one.is_file()
    except OSError:  # one of them is not there yet
        return os.path.realpath(one) == os.path.realpath(other)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn an error of the operating system into a sentence that begins so.

    Raises:
        ConfigurationError: There was one.
    """
    try:
        yield
    except OSError as problem:
        raise ConfigurationError(f"{what}: {problem.strerror}") from problem


@contextmanager
def replacing(output: str) -> Iterator[TextIO]:
    """Write a file beside the output, which takes its place once it is whole; a device or a pipe is written as it is.

    Raises:
        ConfigurationError: It cannot be written; an earlier file is as it was.
    """
    with refusing(f"{output} cannot be written"):
        if Path(output).exists() and not Path(output).is_file():
            with Path(output).open("w", encoding="utf-8", newline="") as stream:
                yield stream
        else:
            with _taking_the_place_of(Path(os.path.realpath(output))) as stream:
                yield stream


@contextmanager
def _taking_the_place_of(path: Path) -> Iterator[TextIO]:
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as stream:
            yield stream
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
