"""The tables of a part of this library in a PostgreSQL database: which format they have, and how they come about."""

from collections.abc import Sequence
from typing import Final

from omeda_async._postgres_blocking import Connection, PostgresFailed
from omeda_async._version import __version__

_HAS: Final = "SELECT to_regclass('omeda_async_schemas')"
_MAKE_FORMATS: Final = """
CREATE TABLE IF NOT EXISTS omeda_async_schemas (part text PRIMARY KEY, version integer NOT NULL)
"""
_FORMAT: Final = "SELECT version FROM omeda_async_schemas WHERE part = %s"
_LOCK: Final = 0x6F6D6A6C
"""What all that make tables at once wait for, whatever their part."""
_ENTER: Final = """
INSERT INTO omeda_async_schemas VALUES (%s, %s) ON CONFLICT (part) DO UPDATE SET version = EXCLUDED.version
"""


def format_of(connection: Connection, part: str) -> int:
    """Return the format of a part's tables; 0 where there are none."""
    if connection.execute(_HAS).fetchone() == (None,):
        return 0
    row = connection.execute(_FORMAT, (part,)).fetchone()
    return row[0] if row else 0


def other_format(found: int, own: int, remedy: str) -> PostgresFailed:
    """Make the error for tables that this version cannot read."""
    return PostgresFailed(f"the tables there have format {found}, and omeda-async {__version__} reads {own}: {remedy}")


def make_tables(connection: Connection, part: str, steps: Sequence[str]) -> int:
    """Make the tables of a part, or bring them up to date, in one transaction; return the format they had.

    Nothing is asked of a role that need not.

    Args:
        connection: Where.
        part: Which.
        steps: What makes each format of the one before it.

    Raises:
        PostgresFailed: A newer version has made them.
    """
    if (found := format_of(connection, part)) < len(steps):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute(_MAKE_FORMATS)
            if (found := format_of(connection, part)) < len(steps):
                for step in steps[found:]:
                    connection.execute(step.encode())
                connection.execute(_ENTER, (part, len(steps)))
    if found > len(steps):
        raise other_format(found, len(steps), "upgrade")
    return found
