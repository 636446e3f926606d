"""A run in pictures: one HTML page that needs no network, made of a journal.

::

    write_report("run.sqlite3", "run.html")

The command line makes the same of a run that it has just made (``--report run.html``), with a time line of its requests
and what it waited for: a journal does not keep these. E-mail addresses are masked.
"""

from os import PathLike
from pathlib import Path

from omeda_async.report._journal import story_of
from omeda_async.report._page import page_of

__all__ = ["write_report"]


def write_report(journal: str | PathLike[str], output: str | PathLike[str]) -> None:
    """Write what a journal holds as one HTML page. It blocks: from a coroutine, call it in a thread.

    Args:
        journal: Its file, or ``postgresql://host/database?run=NAME``.
        output: The page's file. One that is there is overwritten.

    Raises:
        JournalError: The journal cannot be read, or is none.
        ConfigurationError: It is neither a path nor a URL of PostgreSQL with the name of a run.
        OSError: The page cannot be written.
    """
    story = story_of(journal)
    with Path(output).open("w", encoding="utf-8") as file:
        file.writelines(page_of(story))
