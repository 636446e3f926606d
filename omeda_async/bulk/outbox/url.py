"""Where an outbox is kept, as a caller says it: the path of a file, or the URL of a database."""

from importlib.util import find_spec
from os import PathLike, fspath
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import attrs

from omeda_async._checks import check_path
from omeda_async.bulk.journal.url import is_url, read_url
from omeda_async.errors import ConfigurationError

_FORM: Final = "postgresql://host:5432/database?outbox=NAME"
WANTED: Final = f"the path of a file, or {_FORM}"
"""What names an outbox."""


@attrs.frozen
class OutboxUrl:
    """An outbox's place in a database; no secret is shown of it."""

    server: str = attrs.field(repr=False)
    """The address of the database, with the password if one was given."""
    outbox: str = attrs.field(repr=False)
    name: str
    """The URL without the password."""

    def __str__(self) -> str:
        return self.name


Where: TypeAlias = Path | OutboxUrl


def where_of(where: object) -> Where:
    """Return where an outbox is to be.

    Raises:
        ConfigurationError: It is neither a path nor such a URL; of a URL, the message does not show it.
    """
    text = check_path("an outbox", where, WANTED)
    if not is_url(text):
        if "://" in text:
            raise ConfigurationError(f"an outbox must be {WANTED}: no other URL is known")
        return Path(text)
    if "://" not in text:
        raise ConfigurationError("outbox: give a URL as a string; a Path has no two slashes in a row")
    url = OutboxUrl(*read_url(text, "outbox", "outbox", "the outbox", _FORM))
    if find_spec("psycopg") is None:
        raise ConfigurationError("an outbox at postgresql:// needs an extra: pip install 'omeda-async[postgres]'")
    return url


def names_outbox(where: str | PathLike[str]) -> bool:
    """Whether a URL of a database names an outbox in it."""
    try:
        query = urlsplit(fspath(where)).query
    except ValueError:
        return False
    return is_url(where) and any(name == "outbox" for name, _ in parse_qsl(query, keep_blank_values=True))
