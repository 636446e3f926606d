"""The files that commands write: never over what they read, and an earlier one stays until the new one is whole."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from omeda_async import ConfigurationError

BESIDE = ("", "-wal", "-shm", "-lock", "-lock-journal", "-mark")
"""How the names of a journal's files end."""


def journal_files(journal: Path) -> Iterator[Path]:
    """Return all the files that a journal may consist of."""
    return (Path(f"{journal}{ending}") for ending in BESIDE)


def file_of(journal: str) -> Path | None:
    """Return the file of a journal; None where it is in a database."""
    return None if "://" in journal else Path(journal)


def check_output(
    output: str | None,
    *,
    file: str | None = None,
    journal: str | None = None,
    other: str | None = None,
    called: str = "--output",
) -> None:
    """Refuse an output that would overwrite what is read.

    Args:
        output: The file to write; None where nothing is written.
        file: The input; ``-`` is standard input.
        journal: The journal.
        other: What is written as well.
        called: Its option.

    Raises:
        ConfigurationError: The output is the input or the journal, under whatever name.
    """
    if output is None:
        return
    inputs = () if file is None else (Path("/dev/stdin" if file == "-" else file),)
    path = None if journal is None else file_of(journal)
    journals = () if path is None else journal_files(path)
    others = () if other is None else (Path(other),)
    for what, paths in (("input", inputs), ("journal", journals), ("file of --output", others)):
        if any(_same(Path(output), path) for path in paths):
            raise ConfigurationError(f"{called} {output} is the {what}, which it would overwrite: give another file")


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


def check_report(
    report: str | None, *, file: str | None = None, journal: str | None = None, output: str | None = None
) -> None:
    """Refuse a page that would overwrite something else, or for which there is no place.

    Raises:
        ConfigurationError: It is one; the message says which.
    """
    if report is None:
        return
    if report == "-":
        raise ConfigurationError("--report - would mix the page with the summary on standard output: give a file")
    check_output(report, file=file, journal=journal, other=output, called="--report")
    folder = Path(os.path.realpath(report)).parent
    if Path(report).is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"--report {report} cannot be written: give a file in a directory that can be")


@contextmanager
def replacing(output: str, *, mode: int = 0o666) -> Iterator[TextIO]:
    """Write a file beside the output, which takes its place once it is whole; a device or a pipe is written as it is.

    Args:
        output: The file.
        mode: Who may read and write a new one, less what the user's mask takes away.

    Raises:
        ConfigurationError: It cannot be written; an earlier file is as it was.
    """
    with refusing(f"{output} cannot be written"):
        if Path(output).exists() and not Path(output).is_file():
            with Path(output).open("w", encoding="utf-8", newline="") as stream:
                yield stream
        else:
            with _taking_the_place_of(Path(os.path.realpath(output)), mode) as stream:
                yield stream


@contextmanager
def _taking_the_place_of(path: Path, mode: int) -> Iterator[TextIO]:
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        file = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), mode)
        with os.fdopen(file, "w", encoding="utf-8", newline="") as stream:
            yield stream
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
