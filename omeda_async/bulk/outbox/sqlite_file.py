"""The SQLite file of an outbox: its tables, and what is checked before anything is put."""

import os
import secrets
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from struct import Struct
from typing import Any, Final, NamedTuple
from zlib import crc32

import orjson

from omeda_async._version import __version__
from omeda_async.bulk.journal.sqlite_connection import INODE, TWO_NAMES, connect, connect_to_read, keep_log
from omeda_async.bulk.journal.sqlite_file import Files
from omeda_async.bulk.journal.sqlite_lock import APPLICATION as JOURNAL, ONE_BYTE, create
from omeda_async.bulk.journal.sqlite_mark import goes_by_its_log, mark_of
from omeda_async.bulk.journal.sqlite_sums import DAMAGE
from omeda_async.bulk.journal.sqlite_words import in_words, is_damage, is_foreign
from omeda_async.bulk.outbox.interface import Identity, Opened
from omeda_async.errors import OutboxError

APPLICATION: Final = 0x6F6D6F62
SCHEMA: Final = 1
_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE lease (
    id INTEGER PRIMARY KEY CHECK (id = 1), fence INTEGER NOT NULL, holder TEXT NOT NULL, until REAL NOT NULL,
    seconds REAL NOT NULL, attempt REAL NOT NULL
);
INSERT INTO lease VALUES (1, 0, '', 0, 0, 0);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL, put REAL NOT NULL, due REAL NOT NULL,
    fingerprint BLOB NOT NULL, key TEXT, record TEXT, sum INTEGER NOT NULL,
    fence INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    doubt INTEGER NOT NULL DEFAULT 0, status INTEGER, answer TEXT, answer_sum INTEGER, ended REAL,
    told INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX waiting ON entries (due, id) WHERE state = 0;
CREATE INDEX intended ON entries (id) WHERE state = 1;
CREATE UNIQUE INDEX keys ON entries (key) WHERE state != 2 AND key NOT NULL;
CREATE INDEX untold ON entries (id) WHERE state = 2 AND NOT told;
CREATE INDEX ended ON entries (ended) WHERE state = 2 AND told;
"""
_MARKS: Final = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema")
_WRITES: Final = "SELECT value FROM meta WHERE name = 'writes'"
ONE_MORE: Final = "UPDATE meta SET value = value + 1 WHERE name = 'writes'"
"""What every transaction does."""
_MARK: Final = Struct("<8sq")
_OPEN: Final = "SELECT key, record, sum FROM entries WHERE state != 2"


class Mark(NamedTuple):
    """How far an outbox has come, as noted beside it: SQLite does not miss a -wal that is lost, cut, or another's.

    It has come as far at least: of many processes the last one may note it late.
    """

    name: str
    """The outbox."""
    writes: int
    """Transactions."""


def sum_of(key: str | None, record: str) -> int:
    """Return the sum by which it is noticed that a record is not what was put."""
    return crc32(f"{key}\0{record}".encode("utf-8", "surrogatepass"))


def open_file(path: Path, identity: Identity) -> tuple[sqlite3.Connection, Files, Opened]:
    """Open or create an outbox, and check that it is whole and the caller's own.

    Raises:
        OutboxError: It is another's, something else, damaged, or cannot be written.
    """
    with usable(path):
        new = not os.path.lexists(path)
        if new and mark_of(path).exists():  # that of one that was removed
            mark_of(path).unlink(missing_ok=True)
            _sync_folder(path)
        create(path, check_untouched)
        mark = noted(path)  # before what is read, which others may write meanwhile
        connect_to_read(path, check_format).close()  # a -journal of another's would be taken for its own
        connection = connect(path)
        try:
            opened = _begin(connection, path, identity, mark)
            if new:
                _sync_folder(path)
            check_whole(connection, path)
            names = path.absolute(), Path(f"{path.resolve()}-wal")
            return connection, {name: INODE(name.stat()) for name in names}, opened
        except BaseException:
            connection.close()
            raise


def _begin(connection: sqlite3.Connection, path: Path, identity: Identity, mark: Mark | None) -> Opened:
    keep_log(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("BEGIN IMMEDIATE")
    if not check_format(connection, path):
        _fill(connection, identity)
    found, opened = whose(connection)
    identity.check(found, str(path), "give each its own file")
    check_mark(connection, path, opened, mark)
    connection.execute(ONE_MORE)  # a file that is read-only says so now
    connection.execute("COMMIT")
    return opened


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Turn what reading or writing an outbox may raise into an OutboxError."""
    try:
        yield
    except (sqlite3.Error, OSError, *DAMAGE) as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: Exception, *, committing: bool = False) -> OutboxError:
    """Make the error for an outbox that the operating system or SQLite refuses, or that is not as it was written.

    Args:
        path: Where it is.
        error: What happened.
        committing: Whether that was in the moment of writing, so that what was put may be there.
    """
    if isinstance(error, DAMAGE):
        return damaged(path, f"reading it met with {type(error).__name__}")
    if is_damage(error) or is_foreign(error):
        return damaged(path, str(error))
    after = "what was put with it may be there all the same: put it again with the same key" if committing else None
    text = f"the outbox {path} cannot be used: {in_words(error)}; {after or 'what was put with it is not there'}"
    return OutboxError(text, sent=committing)


def damaged(path: Path, what: str) -> OutboxError:
    """Make the error for an outbox that is not as it was written."""
    return OutboxError(
        f"the outbox {path} cannot be used: it is damaged ({what}), and nothing was put; put a copy in its place, with "
        "the -wal that stood beside it, or give another file, and keep this one: records in it may not have been sent"
    )


def displaced(path: Path) -> OutboxError:
    """Make the error for an outbox whose files are elsewhere now."""
    return OutboxError(
        f"the outbox {path}, or the -wal beside it, was moved, removed or replaced while it was open: put back what "
        "was there, and open it again; what was put last may be in what was moved",
        sent=True,
    )


def check_format(connection: sqlite3.Connection, path: Path) -> bool:
    """Check that a file is an outbox this version can read; False when it is still empty.

    Raises:
        OutboxError: It is something else.
    """
    application, schema, tables = (connection.execute(sql).fetchone()[0] for sql in _MARKS)
    if not (application or schema or tables):
        return False
    if application != APPLICATION:
        what = "the journal of a bulk run" if application == JOURNAL else "an SQLite file"
        raise OutboxError(f"{path} is {what}, and no outbox of this library; give another file")
    if schema != SCHEMA:
        age, remedy = ("n older", "empty it with that version") if schema < SCHEMA else (" newer", "upgrade")
        raise OutboxError(
            f"the outbox {path} was written by a{age} version of omeda-async (format {schema}; this version "
            f"{__version__} reads {SCHEMA}): {remedy}, or give another file"
        )
    return True


def whose(connection: sqlite3.Connection) -> tuple[dict[str, Any], Opened]:
    """Read whose outbox it is, and what it is known by."""
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    return orjson.loads(meta["identity"]), Opened(meta["name"], meta.get("salt"))


def check_untouched(path: Path) -> None:
    """Check that a file that exists is an outbox or empty, without changing anything about it or beside it.

    Raises:
        OutboxError: It is something else, or an outbox that somebody has emptied.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OutboxError(f"{path} is no file, and cannot be an outbox; give the path of a file")
    if found.st_nlink > 1 and not mark_of(path).exists():  # which is beside the name by which it was written
        raise OutboxError(f"the outbox {path} cannot be used: {TWO_NAMES}")
    if found.st_size == ONE_BYTE:
        raise OutboxError(f"{path} is no outbox of this library; give another file")
    if found.st_size:
        if goes_by_its_log(path, APPLICATION, SCHEMA):
            return
        # To SQLite it cannot change: nothing is recovered, and nothing made beside it.
        with closing(connect(path, mode="ro&immutable=1")) as connection:
            check_format(connection, path)
    elif hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise OutboxError(f"{path} is an empty file of another user; give another file")
    elif noted(path) is not None and not path.stat().st_size:  # which comes before the note of a new one
        raise damaged(path, "it is empty, although it was written, as the -mark beside it notes")


def note(file: int, connection: sqlite3.Connection, name: str) -> None:
    """Note how far an outbox has come."""
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, _MARK.pack(name.encode(), connection.execute(_WRITES).fetchone()[0]))


def noted(path: Path) -> Mark | None:
    """Read how far an outbox had come, before it is read itself; None where that is not known.

    Raises:
        OutboxError: What has the name of the file is something else.
    """
    mark = mark_of(path)
    if not mark.exists():
        return None
    if not mark.is_file() or mark.stat().st_size not in {0, _MARK.size}:
        raise OutboxError(f"{mark} is not what is noted beside an outbox; give another file")
    if not (content := mark.read_bytes()):
        return None
    name, writes = _MARK.unpack(content)
    return Mark(name.decode("ascii", "replace"), writes)


def check_mark(connection: sqlite3.Connection, path: Path, opened: Opened, mark: Mark | None) -> None:
    """Check that an outbox holds all that was written into it.

    Raises:
        OutboxError: What was written last is missing.
    """
    if mark is None:
        return
    if mark.name != opened.name or connection.execute(_WRITES).fetchone()[0] < mark.writes:
        raise damaged(
            path,
            "what was written last is missing: the -wal beside it is lost or another's; if this file is what you mean, "
            "all the same, remove the -mark beside it",
        )


def check_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file is in order, and that all records that are to be sent are what was put.

    Raises:
        OutboxError: It is damaged.
    """
    for (found,) in connection.execute("PRAGMA integrity_check(1)"):
        if found != "ok":
            raise damaged(path, found)
    for key, record, its_sum in connection.execute(_OPEN):
        if sum_of(key, record) != its_sum:
            raise damaged(path, "a record is not what was put")


def _sync_folder(path: Path) -> None:
    """Have the file's name on disk as well."""
    if os.name == "posix":
        folder = os.open(path.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _fill(connection: sqlite3.Connection, identity: Identity) -> None:
    for statement in _TABLES.split(";")[:-1]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    kept = orjson.dumps(identity.kept()).decode()
    values: list[tuple[str, Any]] = [("name", secrets.token_hex(4)), ("identity", kept), ("writes", 0)]
    if identity.pii == "hash":
        values.append(("salt", secrets.token_bytes(32)))
    connection.executemany("INSERT INTO meta VALUES (?, ?)", values)
