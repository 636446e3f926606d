"""Where shared runs are kept: in PostgreSQL."""

from os import PathLike
from typing import Any, Unpack

from omeda_async.bulk._job import Work
from omeda_async.bulk._shared_options import SharedOptions
from omeda_async.bulk.shared.run import SharedRun


def shared_at(journal: str | PathLike[str], work: Work, **options: Unpack[SharedOptions]) -> SharedRun[Any, Any]:
    """Make a shared run.

    Args:
        journal: ``postgresql://host/database?run=NAME``.
        work: How records are read and sent.
        options: See :class:`SharedOptions`.

    Raises:
        ConfigurationError: It is no such URL, or an option is out of range; the message names it.
        TypeError: There is no such option.
    """
    raise NotImplementedError
