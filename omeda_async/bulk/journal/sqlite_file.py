"""The SQLite file of a journal: its tables, and how it is begun and opened."""

import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from omeda_async import _clock
from omeda_async._version import __version__
from omeda_async.bulk.journal.codec import number_of
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import Opened
from omeda_async.bulk.journal.sqlite_connection import INODE, TWO_NAMES, connect, connect_to_read, keep_log
from omeda_async.bulk.journal.sqlite_lock import (
    APPLICATION,
    SCHEMA,
    check_format,
    check_kind,
    create,
    guarding,
    is_begun,
    locked,
    note,
    was_begun,
)
from omeda_async.bulk.journal.sqlite_mark import check_log, check_mark, goes_by_its_log, lacks_log, mark_of, noted
from omeda_async.bulk.journal.sqlite_sums import (
    ASIDE_SUM,
    ASIDES,
    DAMAGE,
    RESULT_SUM,
    add_sums,
    check_texts,
    check_whole,
    damaged,
    know_asides,
    sum_of,
    sums,
)
from omeda_async.bulk.journal.sqlite_words import in_words, is_damage, is_foreign
from omeda_async.errors import JournalError

# What a checkpoint costs is paid once in so many pages of 4 KiB.
_CHECKPOINT_PAGES: Final = 4000
_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, requests INTEGER NOT NULL DEFAULT 0,
    complete INTEGER NOT NULL DEFAULT 0, counts TEXT NOT NULL DEFAULT '{}', cause TEXT, version TEXT NOT NULL,
    seen REAL, recent INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE records (id INTEGER PRIMARY KEY, fingerprint BLOB NOT NULL, entry TEXT NOT NULL);
CREATE TABLE prints (fingerprint BLOB PRIMARY KEY, record INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE results (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL,
    status INTEGER NOT NULL, attempts INTEGER NOT NULL, answer INTEGER NOT NULL
);
CREATE VIEW outcomes AS SELECT records.id, fingerprint, entry, status, attempts, answer
FROM records LEFT JOIN results
ON results.first = (SELECT max(first) FROM results WHERE first <= records.id) AND results.last >= records.id;
CREATE TABLE answers (id INTEGER PRIMARY KEY, answer TEXT NOT NULL);
<asides>;
INSERT INTO meta VALUES ('indexed', 0);
""".replace("<asides>", ASIDES)
_BEGIN_RUN: Final = (
    "INSERT INTO runs (started, version, ids, writes, sum) VALUES (:now, :version, :ids, 0, <sum>)".replace(
        "<sum>", sum_of("0", "0", ":ids", "0")
    )
)
_BOTH: Final = "SELECT count(*), ifnull(sum(id), 0), (SELECT count(*) FROM prints) FROM records"
_ANY_REFUSED: Final = "SELECT EXISTS (SELECT * FROM asides WHERE NOT repeats)"
_COUNT_NEW: Final = "SELECT count(*) FROM records WHERE id > (SELECT value FROM meta WHERE name = 'indexed')"
_INDEX_NEW: Final = """
INSERT OR IGNORE INTO prints
SELECT fingerprint, id, substr(sum, 1, 4) FROM records
WHERE id > (SELECT value FROM meta WHERE name = 'indexed') ORDER BY fingerprint, id
"""
# A record that came again too late to be recognised was sent again; from here on it counts as what it is. Results are
# kept by ranges; those of one with a gap one by one then.
_SET_LATE_REPEATS_ASIDE: Final = (
    """
    CREATE TEMP TABLE late AS SELECT id FROM records WHERE id > (SELECT value FROM meta WHERE name = 'indexed')
    AND id != (SELECT record FROM prints WHERE prints.fingerprint = records.fingerprint)
    """,
    """
    INSERT OR REPLACE INTO asides (position, run, repeats, status, attempts, answer, known_by)
    SELECT json_extract(entry, '$[0]'), (SELECT max(id) FROM runs), 1, status, attempts, answer,
    number_of(fingerprint) FROM late JOIN outcomes ON outcomes.id = late.id WHERE status NOT NULL
    """,
    "UPDATE asides SET entry_sum = 0, sum = <sum> WHERE sum IS NULL".replace("<sum>", ASIDE_SUM),
    "DELETE FROM records WHERE id IN (SELECT id FROM late)",
    """
    CREATE TEMP TABLE loose AS SELECT * FROM results
    WHERE EXISTS (SELECT 1 FROM late WHERE late.id BETWEEN first AND last)
    """,
    "DELETE FROM results WHERE first IN (SELECT first FROM loose)",
    """
    INSERT INTO results (first, last, status, attempts, answer)
    SELECT records.id, records.id, status, attempts, answer
    FROM loose CROSS JOIN records ON records.id BETWEEN first AND last
    """,
    "UPDATE results SET sum = <sum> WHERE sum IS NULL".replace("<sum>", RESULT_SUM),
    "DROP TABLE loose",
    "DROP TABLE late",
)


Files: TypeAlias = Mapping[Path, tuple[int, int]]
"""The files of a journal that is open, and what they are."""


def whose(connection: sqlite3.Connection, path: Path) -> tuple[dict[str, Any], bytes | None]:
    """Read whose run a journal remembers, and what its fingerprints are salted with; None where records are whole."""
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    salt = meta.get("salt")
    check_texts([(meta["identity"].encode() + (salt or b""), meta.get("sum"))], path)
    return orjson.loads(meta["identity"]), salt


@contextmanager
def journal_file(
    path: Path, identity: Identity, lookback: float = 0.0
) -> Iterator[tuple[sqlite3.Connection, Files, Opened]]:
    """Open or create a journal, note that a run begins, and keep it locked until left, or until the process dies."""
    try:
        if os.path.lexists(path):
            check_untouched(path)
        with locked(path) as guard:
            begun = _begin(path, guard)
            _check(path, identity)
            with closing(connect(path)) as connection:
                _prepare(connection, path, identity)
                recent = _recent(connection, lookback)
                records = _begin_run(connection, path)
                connection.execute("COMMIT")
                if not begun:
                    note(guard, begun=True)
                has_refused = bool(connection.execute(_ANY_REFUSED).fetchone()[0])
                opened = Opened(whose(connection, path)[1], *recent, records, has_refused)
                yield connection, _files_of(path), opened
    except (sqlite3.Error, OSError, *DAMAGE) as error:
        raise unusable(path, error) from error


def _files_of(path: Path) -> Files:
    names = path.absolute(), Path(f"{path.resolve()}-wal"), guarding(path)
    return {name: INODE(name.stat()) for name in names}


def displaced(path: Path) -> JournalError:
    """Make the error for a journal whose files are elsewhere now."""
    return JournalError(
        f"the journal {path}, or the -wal or -lock beside it, was moved, removed or replaced while the run went on: "
        "put back what was there and run again; if it is gone, only the outcomes tell what this run has done"
    )


def unusable(path: Path, error: Exception) -> JournalError:
    """Make the error for a journal that the operating system or SQLite refuses, or that is not as it was written."""
    if isinstance(error, DAMAGE):
        return damaged(path, f"reading it met with {type(error).__name__}")
    if is_damage(error):
        return damaged(path, str(error))
    if is_foreign(error):
        return JournalError(
            f"the journal {path} cannot be used: {error}: give another file if it is another program's; if it was a "
            "journal, it is overwritten: put a copy in its place, with all that stood beside it"
        )
    return JournalError(f"the journal {path} cannot be used: {in_words(error)}")


def check_untouched(path: Path) -> None:
    """Check that a file that exists is a journal or empty, without changing anything about it or beside it.

    Raises:
        JournalError: It is something else: a device, a directory, a file of something else or of somebody else; or a
            journal that somebody has emptied, or moved without its log; or it has another name, by which runs have
            written it: SQLite would find nothing of what is in the log beside that one.
    """
    if check_kind(path).st_size:
        if not goes_by_its_log(path, APPLICATION, SCHEMA):
            # To SQLite it cannot change: nothing is recovered, and nothing made beside it.
            with closing(connect(path, mode="ro&immutable=1")) as connection:
                if not check_format(connection, path) and not guarding(path).exists() and lacks_log(path):
                    raise JournalError(
                        f"the journal {path} cannot be used: it is empty, and was moved or copied without its log: put "
                        "the -wal, -mark and -lock that stood beside it in their places, or give another file to begin "
                        "anew, which sends every record again"
                    )
        check_log(path)
    elif was_begun(path) and not path.stat().st_size:  # a run may have begun it meanwhile
        raise _emptied(path)
    if path.stat().st_nlink > 1 and not guarding(path).exists():
        raise JournalError(f"the journal {path} cannot be used: {TWO_NAMES}")


def _emptied(path: Path) -> JournalError:
    return JournalError(
        f"the journal {path} cannot be used: it is empty, although a run has written it, as the -lock beside it notes; "
        "put a copy in its place, or remove it to begin anew, which sends every record again"
    )


def _begin(path: Path, guard: sqlite3.Connection) -> bool:
    """Create the journal if it is not there; return whether a run has begun it.

    The lock file notes that once a run has; the note is erased before another journal takes the place of one that was
    removed.
    """
    begun = is_begun(guard, path)
    if begun and not os.path.lexists(path):
        note(guard, begun=False)
        begun = False
    create(path, check_untouched)
    if begun and not path.stat().st_size:
        raise _emptied(path)
    return begun


def _prepare(connection: sqlite3.Connection, path: Path, identity: Identity) -> None:
    path.chmod(0o600)  # what SQLite makes beside it gets the same mode
    keep_log(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -8000")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute("BEGIN IMMEDIATE")
    if not check_format(connection, path):
        _fill(connection, identity)
    add_sums(connection)
    know_asides(connection)
    connection.create_function("number_of", 1, number_of, deterministic=True)
    _index(connection)


@contextmanager
def opened_to_read(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a journal to read what it holds at this moment; None where nothing was written into it yet.

    Raises:
        JournalError: It is not whole; it is left as it is.
    """
    mark = noted(path)  # before what is read, which may be written meanwhile
    with closing(connect_to_read(path, check_format)) as connection:
        connection.execute("BEGIN")
        filled = check_format(connection, path)
        if path.stat().st_size:  # else the mark is of one that was removed
            check_mark(connection, path, mark, filled=filled)
        if filled:
            check_whole(connection, path)
        yield connection if filled else None


def _check(path: Path, identity: Identity) -> None:
    """Check that a journal is whole, and the run's own."""
    if not path.stat().st_size:
        noted(path)  # which refuses what is none
        mark_of(path).unlink(missing_ok=True)  # of one that was removed
        return
    with opened_to_read(path) as connection:
        if connection is not None:
            identity.check(*whose(connection, path), path)


def _fill(connection: sqlite3.Connection, identity: Identity) -> None:
    for statement in _TABLES.split(";")[:-1]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    salt = secrets.token_bytes(32) if identity.pii == "hash" else None
    if salt is not None:
        connection.execute("INSERT INTO meta VALUES ('salt', ?)", (salt,))
    kept = orjson.dumps(identity.kept(salt))
    connection.execute("INSERT INTO meta VALUES ('identity', ?)", (kept.decode(),))
    connection.execute("INSERT INTO meta VALUES ('sum', ?)", (sums([kept + (salt or b"")]),))


def _index(connection: sqlite3.Connection) -> None:
    """Index what earlier runs wrote by fingerprint: sorted and at once, which is far cheaper than as it comes."""
    if not (number := connection.execute(_COUNT_NEW).fetchone()[0]):
        return
    if connection.execute(_INDEX_NEW).rowcount < number:
        for statement in _SET_LATE_REPEATS_ASIDE:
            connection.execute(statement)
    connection.execute("UPDATE meta SET value = (SELECT max(id) FROM records) WHERE name = 'indexed'")


def _begin_run(connection: sqlite3.Connection, path: Path) -> int:
    """Note that a run begins; return how many records there are, each of which is indexed."""
    records, ids, prints = connection.execute(_BOTH).fetchone()
    if records != prints:
        raise damaged(path, "records are missing")
    now = _clock.utc_now().timestamp()
    connection.execute(_BEGIN_RUN, {"now": now, "version": __version__, "ids": ids})
    return int(records)


def _recent(connection: sqlite3.Connection, lookback: float) -> tuple[int, float]:
    now = _clock.utc_now().timestamp()
    sql = "SELECT ifnull(sum(recent), 0), ifnull(max(seen), 0) FROM runs WHERE seen > ?"
    requests, seen = connection.execute(sql, (now - lookback,)).fetchone()
    return requests, max(0.0, now - seen)
