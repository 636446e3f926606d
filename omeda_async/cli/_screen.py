"""What is shown, and where: results on standard output, everything else on standard error."""

import enum
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TextIO

import attrs
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from omeda_async import ConfigurationError, JournalError, OutboxError
from omeda_async.cli._process import INTERRUPTED, interruptible
from omeda_async.cli._words import in_command

BOUNDLESS = 1000


class Exit(enum.IntEnum):
    """The exit codes of every command."""

    DONE = 0
    NOT_ALL_DONE = 1
    USAGE = 2
    JOURNAL_FAILED = 3
    INTERRUPTED = INTERRUPTED


def results() -> Console:
    """Return the console of results."""
    return _console(sys.stdout)


def notes() -> Console:
    """Return the console of progress, questions and complaints."""
    return _console(sys.stderr)


def _console(file: TextIO) -> Console:
    if not file.isatty():  # a file or a pipe has no width: nothing in it may be cut or wrapped
        return Console(file=file, highlight=False, width=BOUNDLESS)
    if os.environ.get("TERM", "").lower() in {"dumb", "unknown"}:  # rich takes it to be 80 wide, and asks only others
        width, height = shutil.get_terminal_size()
        return Console(file=file, highlight=False, width=width, height=height)
    return Console(file=file, highlight=False)


def counted(count: int, thing: str) -> str:
    """Return a count with what it counts: ``1 request``, ``1,200 records``."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def shown(text: str) -> str:
    """Return a text of a provider or a file without what could control a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def escaped(line: str) -> str:
    """Return a line of JSON that shows what could control a terminal by its escapes."""
    return line if line.isprintable() else "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in line)


def say(console: Console, text: str, style: str = "") -> None:
    """Print lines without what could control a terminal; on one they are wrapped at blanks, elsewhere not at all."""
    console.print(Text(fitting(console, text), style=style), soft_wrap=True)


def say_command(console: Console, *words: str) -> None:
    """Print a command of ours on a line of its own, quoted for a shell and never wrapped, so that it can be copied."""
    console.print(Text(f"  {shlex.join(['omeda-async', *words])}"), soft_wrap=True)


def fitting(console: Console, text: str) -> str:
    """Return lines as ``say`` prints them."""
    lines = map(shown, text.split("\n"))
    return "\n".join(wrapped(line, console.width) if console.is_terminal else line for line in lines)


def wrapped(line: str, width: int) -> str:
    """Break a line at blanks, so that it fits into so many cells; a word that is longer stays whole."""
    first, *words = line.split(" ")
    lines, used = [first], cell_len(first)
    for word in words:
        length = cell_len(word)
        if used + 1 + length <= width or not lines[-1].strip():
            lines[-1] += f" {word}"
            used += 1 + length
        else:
            lines.append(word)
            used = length
    return "\n".join(lines)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on standard output."""
    lines = json.dumps(document, ensure_ascii=False, indent=2, default=_plain).split("\n")
    typer.echo("\n".join(map(escaped, lines)))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return attrs.asdict(value, recurse=False) if attrs.has(type(value)) else str(value)


def seconds_in_words(seconds: float) -> str:
    """Return a duration as people say it: ``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def complaints(argument: str = "") -> Iterator[None]:
    """Turn an error in settings, files and journals into a sentence and an exit code.

    Args:
        argument: What is given to the command without an option, by the name that errors begin with.
    """
    try:
        with interruptible():
            yield
    except (ConfigurationError, JournalError, OutboxError) as error:
        message = error.message.removeprefix(f"{argument}: ")
        say(notes(), f"Error: {shown(in_command(message, error.provider))}", "bold red")
        raise typer.Exit(Exit.USAGE) from None
    except KeyboardInterrupt:
        say(notes(), "Interrupted; nothing was sent.", "bold")
        raise typer.Exit(Exit.INTERRUPTED) from None
