"""The tables of the journals in a PostgreSQL database, and how they come about."""

from typing import Final

from omeda_async import _postgres_tables
from omeda_async._postgres_blocking import Connection, PostgresFailed, failing

PART: Final = "journal"
SPAN: Final = 1 << 40
"""Records and answers of a journal have ids from its own times this one on.

No index leads with the journal: for one that has no statistics yet, PostgreSQL would read it from end to end.
"""
STEPS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE omeda_async_journals (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
        identity text NOT NULL, salt bytea, begun timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE TABLE omeda_async_journal_runs (
        journal integer NOT NULL, number integer NOT NULL, server_process integer NOT NULL, version text NOT NULL,
        started timestamptz NOT NULL DEFAULT clock_timestamp(), seen timestamptz, ended timestamptz,
        requests bigint NOT NULL DEFAULT 0, recent bigint NOT NULL DEFAULT 0,
        complete boolean NOT NULL DEFAULT false, counts text NOT NULL DEFAULT '{}', cause text,
        PRIMARY KEY (journal, number)
    ) WITH (fillfactor = 30);
    CREATE TABLE omeda_async_journal_records (
        id bigint PRIMARY KEY, journal integer NOT NULL, fingerprint bytea NOT NULL, position bigint NOT NULL,
        status smallint, attempts integer, answer bigint, record text, UNIQUE (fingerprint, journal)
    ) WITH (fillfactor = 70);
    CREATE INDEX omeda_async_journal_late ON omeda_async_journal_records (journal)
        WHERE octet_length(fingerprint) > 16;
    CREATE TABLE omeda_async_journal_answers (id bigint PRIMARY KEY, answer text NOT NULL);
    CREATE TABLE omeda_async_journal_asides (
        journal integer NOT NULL, position bigint NOT NULL, run integer NOT NULL, repeats boolean NOT NULL,
        status smallint NOT NULL, attempts integer NOT NULL, answer bigint NOT NULL, record text,
        PRIMARY KEY (journal, position)
    )
    """,
    # Runs that several processes share: what a record repeats has an outcome later, and chunks are claimed.
    """
    ALTER TABLE omeda_async_journals ADD COLUMN chunk integer, ADD COLUMN answers bigint NOT NULL DEFAULT 0,
        ADD COLUMN filled boolean NOT NULL DEFAULT false, ADD COLUMN cancelled boolean NOT NULL DEFAULT false;
    ALTER TABLE omeda_async_journal_asides ADD COLUMN repeated bigint,
        ALTER COLUMN status DROP NOT NULL, ALTER COLUMN attempts DROP NOT NULL, ALTER COLUMN answer DROP NOT NULL;
    CREATE TABLE omeda_async_journal_chunks (
        journal integer NOT NULL, number integer NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
        fence bigint NOT NULL DEFAULT 0, done boolean NOT NULL DEFAULT false, holder text,
        lease_until timestamptz, free_at timestamptz, seen timestamptz,
        requests bigint NOT NULL DEFAULT 0, recent bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (journal, number)
    ) WITH (fillfactor = 30)
    """,
    # How much was read into a shared run, so that rows that were removed since are missed.
    """
    ALTER TABLE omeda_async_journals ADD COLUMN records bigint, ADD COLUMN asides bigint
    """,
    # Inputs that are given one after the other have something at the same positions: asides are known by what they are.
    # And why a shared run was stopped, so that nobody waits for it.
    """
    ALTER TABLE omeda_async_journals ADD COLUMN stopped text;
    ALTER TABLE omeda_async_journal_asides DROP CONSTRAINT omeda_async_journal_asides_pkey,
        ADD PRIMARY KEY (journal, run, position), ADD COLUMN known_by bigint;
    CREATE INDEX omeda_async_journal_asides_known ON omeda_async_journal_asides (known_by, journal)
    """,
)
"""What makes each format of the one before it."""
PERFORMING: Final = """journals SELECT, journals UPDATE, journal_chunks SELECT, journal_chunks UPDATE,
    journal_records SELECT, journal_records UPDATE, journal_answers SELECT, journal_answers INSERT"""
"""The rights that who performs chunks needs: tables, and what is done with them."""
SENDING: Final = """journals SELECT, journal_runs SELECT, journal_runs INSERT, journal_runs UPDATE,
    journal_records SELECT, journal_records INSERT, journal_records UPDATE,
    journal_answers SELECT, journal_answers INSERT,
    journal_asides SELECT, journal_asides INSERT, journal_asides UPDATE"""
"""Those of a run that one process performs."""
_NO_RIGHT: Final = "42501"
_BRING_UP_TO_DATE: Final = "begin a run or a worker with this version, which brings them up to date"
_LACKING: Final = """
SELECT given.need, 'omeda_async_' || given.name FROM unnest(%s::text[], %s::text[]) AS given (name, need)
WHERE NOT has_any_column_privilege('omeda_async_' || given.name, given.need) LIMIT 1
"""


def ids_of(journal: int) -> dict[str, int]:
    """Return the first and the last id that a journal's records and answers may have."""
    return {"first": journal * SPAN, "last": (journal + 1) * SPAN - 1}


def format_of(connection: Connection) -> int:
    """Return the format of the tables; 0 where there are none."""
    return _postgres_tables.format_of(connection, PART)


def check_format(connection: Connection) -> None:
    """Check that this version can read the tables, where there are any.

    Raises:
        PostgresFailed: They are of another version.
    """
    found, own = format_of(connection), len(STEPS)
    if found not in {0, own}:
        raise _postgres_tables.other_format(found, own, _BRING_UP_TO_DATE if found < own else "upgrade")


def make_tables(connection: Connection) -> None:
    """Make the tables, or bring them up to date, in one transaction; nothing is asked of a role that need not.

    Raises:
        PostgresFailed: A newer version has made them, or an older one and the role does not own them.
    """
    found = format_of(connection)
    try:
        with failing(connection):
            _postgres_tables.make_tables(connection, PART, STEPS)
    except PostgresFailed as error:
        if not found or error.code != _NO_RIGHT:
            raise
        remedy = f"let the role that owns them {_BRING_UP_TO_DATE} ({error})"
        raise _postgres_tables.other_format(found, len(STEPS), remedy) from None


def bring_up_to_date(connection: Connection) -> bool:
    """Bring tables up to date that an older version has made; return whether there are any. Errors as of the making."""
    if not format_of(connection):
        return False
    make_tables(connection)
    return True


def check_rights(connection: Connection, rights: str) -> None:
    """Check that the role may do what has to be done once something was sent: there is no way back then.

    Raises:
        PostgresFailed: It may not.
    """
    names, needs = zip(*(one.split() for one in rights.split(",")), strict=True)
    lacking = connection.execute(_LACKING, (list(names), list(needs))).fetchone()
    if lacking is not None:
        raise PostgresFailed("permission denied: the role has no right to {} on {}".format(*lacking))
