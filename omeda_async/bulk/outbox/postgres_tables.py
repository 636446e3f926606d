"""The tables of the outboxes in a PostgreSQL database."""

from typing import Final

from omeda_async._postgres_blocking import Connection
from omeda_async._postgres_tables import format_of, make_tables, other_format

PART: Final = "outbox"
# The states: 0 waits, 1 is about to be sent or was, 2 has its outcome.
STEPS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE omeda_async_outboxes (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, label text NOT NULL UNIQUE,
        identity text NOT NULL, salt bytea, begun timestamptz NOT NULL DEFAULT clock_timestamp(),
        fence bigint NOT NULL DEFAULT 0, holder text NOT NULL DEFAULT '',
        until timestamptz NOT NULL DEFAULT '-infinity', seconds float8 NOT NULL DEFAULT 0,
        attempt float8 NOT NULL DEFAULT 0, attempt_before float8 NOT NULL DEFAULT 0
    ) WITH (fillfactor = 30);
    CREATE TABLE omeda_async_outbox_records (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, outbox integer NOT NULL,
        state smallint NOT NULL DEFAULT 0, put timestamptz NOT NULL DEFAULT clock_timestamp(),
        due timestamptz NOT NULL DEFAULT clock_timestamp(), fingerprint bytea NOT NULL, key text, record text,
        fence bigint NOT NULL DEFAULT 0, claim integer NOT NULL DEFAULT 0,
        tries integer NOT NULL DEFAULT 0, attempts integer NOT NULL DEFAULT 0, doubt boolean NOT NULL DEFAULT false,
        status smallint, answer text, ended timestamptz, told boolean NOT NULL DEFAULT false
    );
    CREATE INDEX omeda_async_outbox_waiting ON omeda_async_outbox_records (outbox, due, id) WHERE state = 0;
    CREATE INDEX omeda_async_outbox_intended ON omeda_async_outbox_records (outbox, fence) WHERE state = 1;
    CREATE UNIQUE INDEX omeda_async_outbox_keys ON omeda_async_outbox_records (outbox, key)
        WHERE state <> 2 AND key IS NOT NULL;
    CREATE INDEX omeda_async_outbox_untold ON omeda_async_outbox_records (outbox, id) WHERE state = 2 AND NOT told;
    CREATE INDEX omeda_async_outbox_ended ON omeda_async_outbox_records (outbox, ended) WHERE state = 2 AND told
    """,
    # Until when who delivers sends nothing, whatever is due.
    "ALTER TABLE omeda_async_outboxes ADD COLUMN held_until timestamptz",
)
"""What makes each format of the one before it."""


def has_tables(connection: Connection) -> bool:
    """Whether there are tables.

    Raises:
        PostgresFailed: They are of another version.
    """
    found, own = format_of(connection, PART), len(STEPS)
    if found not in {0, own}:
        remedy = "open an outbox with this version, which brings them up to date" if found < own else "upgrade"
        raise other_format(found, own, remedy)
    return bool(found)


def make(connection: Connection) -> None:
    """Make the tables, or bring them up to date; errors as of :func:`make_tables`."""
    make_tables(connection, PART, STEPS)
