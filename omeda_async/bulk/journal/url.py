"""Where a journal is kept, as a caller says it: the path of a file, or the URL of a database."""

import re
from importlib.util import find_spec
from os import PathLike, fspath
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlsplit

import attrs

from omeda_async._checks import check_path
from omeda_async.errors import ConfigurationError

_SCHEME: Final = re.compile(r"(postgresql|postgres):/")
_HOSTS: Final = re.compile(r"[\w.,:%\[\]-]*", re.ASCII)
_PORT: Final = re.compile(r"(?:^|,)(?:\[[^\]]*\]|[^:,\[]*)(?::(\d*))?(?=,|$)")
_DATABASE: Final = re.compile(r"/?[^@:/\s]*")
_LONGEST: Final = 200
_FORM: Final = "postgresql://host:5432/database?run=NAME"


@attrs.frozen
class JournalUrl:
    """A run's place in a database; no secret is shown of it."""

    server: str = attrs.field(repr=False)
    """The address of the database, with the password if one was given."""
    run: str = attrs.field(repr=False)
    name: str
    """The place without the user and the password."""

    def __str__(self) -> str:
        return self.name


Where: TypeAlias = Path | JournalUrl


def where_of(journal: object) -> Where:
    """Return where a journal is to be.

    Raises:
        ConfigurationError: It is neither a path nor such a URL; of a URL, the message does not show it.
    """
    text = check_path("journal", journal, f"the path of a file, or {_FORM}")
    if not _SCHEME.match(text):
        return Path(text)
    if "://" not in text:
        raise ConfigurationError("journal: give a URL as a string; a Path has no two slashes in a row")
    url = _url(text)
    if find_spec("psycopg") is None:
        raise ConfigurationError("a journal at postgresql:// needs an extra: pip install 'omeda-async[postgres]'")
    return url


def is_url(journal: str | PathLike[str]) -> bool:
    """Whether a journal is in a database."""
    return _SCHEME.match(fspath(journal)) is not None


def _url(text: str) -> JournalUrl:
    try:
        parts = urlsplit(text)
        runs = [value for name, value in parse_qsl(parts.query, keep_blank_values=True) if name == "run"]
    except ValueError:
        raise _unread() from None
    hosts = parts.netloc.rpartition("@")[2]
    if parts.fragment or _PORT.sub("", hosts) or not (_HOSTS.fullmatch(hosts) and _DATABASE.fullmatch(parts.path)):
        raise _unread()
    if len(runs) != 1 or not runs[0].strip() or len(runs[0]) > _LONGEST or not runs[0].isprintable():
        raise ConfigurationError(
            f"journal: the URL of a database needs the name of the run, of 1 to {_LONGEST} characters that can be "
            f"printed: {_FORM}"
        )
    options = "&".join(option for option in parts.query.split("&") if not option.startswith("run="))
    name = f"postgresql://{hosts}{parts.path}?run={quote(runs[0])}"
    return JournalUrl(parts._replace(query=options).geturl(), runs[0], name)


def _unread() -> ConfigurationError:
    return ConfigurationError(
        f"journal: the URL must read {_FORM}; in a password, write what is special as %40 for an at sign, %2F for a "
        "slash, and so on, or leave it to PGPASSWORD or a password file"
    )
