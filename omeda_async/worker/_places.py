"""Where the journals of runs are: in a database, each by the name of its run."""

from urllib.parse import quote, urlsplit

from procrastinate import App

from omeda_async.bulk.journal.url import JournalUrl, where_of
from omeda_async.errors import ConfigurationError


def check_database(url: object) -> str:
    """Return the URL of a database.

    Raises:
        ConfigurationError: It is none, or names a run; it is not shown, as it may hold a password.
    """
    if isinstance(url, str) and any(part.startswith("run=") for part in _query(url).split("&")):
        raise ConfigurationError("the URL of the database must not name a run: leave run=… out")
    if not isinstance(url, str) or not isinstance(where_of(journal_of(url, "any")), JournalUrl):
        raise ConfigurationError("the database must be given as postgresql://host:5432/database")
    return url


def journal_of(database: str, run: str) -> str:
    """Return the URL of a run's journal."""
    return f"{database}{'&' if _query(database) else '?'}run={quote(run, safe='')}"


def database_of(app: App) -> str:
    """Return the URL of the database in which an app keeps its queue.

    Raises:
        ConfigurationError: It was not given as a URL.
        AppNotOpen: The app is not open.
    """
    pool = getattr(app.connector, "pool", None)
    conninfo = getattr(pool, "conninfo", None)
    if not isinstance(conninfo, str) or "://" not in conninfo:
        raise ConfigurationError(
            "where journals are kept cannot be told from the app: give BulkJobs(…, journal='postgresql://host/database')"
        )
    return check_database(conninfo)


def _query(url: str) -> str:
    try:
        return urlsplit(url).query
    except ValueError:
        return ""


def split(journal: str) -> tuple[str, str]:
    """Return the database of a run's journal, and the name of the run.

    Raises:
        ConfigurationError: It is no URL of PostgreSQL with the name of a run.
    """
    where = where_of(journal)
    if not isinstance(where, JournalUrl):
        raise ConfigurationError("a run that workers send has its journal at postgresql://host/database?run=NAME")
    return where.server, where.run
