"""A run in pictures: one HTML page that needs no network, made of a journal.

::

    Path("run.html").write_text(report_page("run.sqlite3"), encoding="utf-8")

The command line writes such a page (``--report run.html``), also of a run that it makes, with a time line of its
requests and what it waited for: a journal does not keep these. E-mail addresses are masked; records are named.
"""

from os import PathLike

from omeda_async.report._journal import story_of
from omeda_async.report._page import page_of

__all__ = ["report_page"]


def report_page(journal: str | PathLike[str]) -> str:
    """Return a page that shows what a journal holds. It blocks: from a coroutine, call it in a thread.

    Args:
        journal: Its file, or ``postgresql://host/database?run=NAME``.

    Raises:
        JournalError: It cannot be read, or is no journal.
        ConfigurationError: It is neither a path nor a URL of PostgreSQL with the name of a run.
    """
    return "".join(page_of(story_of(journal)))
