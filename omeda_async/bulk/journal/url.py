"""Where a journal is kept, as a caller says it: the path of a file, or the URL of a database."""

import re
from importlib.util import find_spec
from os import PathLike, fspath
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import attrs

from omeda_async._checks import check_path
from omeda_async.errors import ConfigurationError

_SCHEME: Final = re.compile(r"(postgresql|postgres):/")
_HOSTS: Final = re.compile(r"[\w.,:%\[\]-]*", re.ASCII)
_PORT: Final = re.compile(r"(?:^|,)(?:\[[^\]]*\]|[^:,\[]*)(?::(\d*))?(?=,|$)")
_DATABASE: Final = re.compile(r"/?[^@:/\s]*")
_SECRET: Final = re.compile("password|secret", re.IGNORECASE)
_LONGEST: Final = 200
_FORM: Final = "postgresql://host:5432/database?run=NAME"


@attrs.frozen
class JournalUrl:
    """A run's place in a database; no secret is shown of it."""

    server: str = attrs.field(repr=False)
    """The address of the database, with the password if one was given."""
    run: str = attrs.field(repr=False)
    name: str
    """The URL without the password."""

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
    url = JournalUrl(*read_url(text, "journal", "run", "the run", _FORM))
    if find_spec("psycopg") is None:
        raise ConfigurationError("a journal at postgresql:// needs an extra: pip install 'omeda-async[postgres]'")
    return url


def url_of(journal: object) -> JournalUrl:
    """Return where a journal is to be that several processes share.

    Raises:
        ConfigurationError: It is no URL of a database with the name of a run.
    """
    url = where_of(journal)
    if not isinstance(url, JournalUrl):
        raise ConfigurationError(f"journal: a run that several processes share is kept in PostgreSQL: {_FORM}")
    return url


def is_url(where: str | PathLike[str]) -> bool:
    """Whether something is in a database."""
    return _SCHEME.match(fspath(where)) is not None


def read_url(text: str, what: str, parameter: str, whose: str, form: str) -> tuple[str, str, str]:
    """Split the URL of something with a name in a database: into the database's own, the name, and what may be shown.

    Args:
        text: The URL; errors do not show it.
        what: What it is called in errors.
        parameter: Which parameter of it is the name.
        whose: Whose name that is.
        form: How such a URL reads.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        parts = urlsplit(text)
        names = [value for name, value in parse_qsl(parts.query, keep_blank_values=True) if name == parameter]
    except ValueError:
        raise _unread(what, form) from None
    login, at, hosts = parts.netloc.rpartition("@")
    if (
        not text.isprintable()
        or parts.fragment
        or parts.netloc.count("@") > 1
        or _PORT.sub("", hosts)
        or not (_HOSTS.fullmatch(hosts) and _DATABASE.fullmatch(parts.path))
    ):
        raise _unread(what, form)
    if len(names) != 1 or not names[0].strip() or len(names[0]) > _LONGEST or not names[0].isprintable():
        raise ConfigurationError(
            f"{what}: the URL of a database needs the name of {whose}, of 1 to {_LONGEST} characters that can be "
            f"printed: {form}"
        )
    options = [option for option in parts.query.split("&") if option and not option.startswith(f"{parameter}=")]
    # Not by urlunsplit, which leaves the two slashes out where no host is named: a socket of this machine.
    server = f"{parts.scheme}://{parts.netloc}{parts.path}{'?' if options else ''}{'&'.join(options)}"
    named = [option for option in options if not _SECRET.search(unquote(option.partition("=")[0]))]
    query = "&".join([*named, f"{parameter}={quote(names[0])}"])
    return server, names[0], f"postgresql://{login.partition(':')[0]}{at}{hosts}{parts.path}?{query}"


def _unread(what: str, form: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what}: the URL must read {form}; in a password, write what is special as %40 for an at sign, %2F for a "
        "slash, and so on, or leave it to PGPASSWORD or a password file"
    )
