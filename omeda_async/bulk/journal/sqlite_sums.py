"""Sums in an SQLite journal: by them damage is noticed that leaves the file in order, such as a bit of a status.

Those of numbers are compared when a journal is opened, those of texts and fingerprints where these are read. Rows of
journals that were begun without sums have none.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from struct import pack
from typing import Any, Final
from zlib import crc32

from omeda_async.errors import JournalError

DAMAGE: Final = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, ImportError)
"""What reading a journal may raise, besides SQLite's errors, if somebody else has written it."""
_FACTORS: Final = (65537, 257, 1000003, 7919, 31, 104729, 1299709)
_AT_ONCE: Final = 1000


def sum_of(*columns: str) -> str:
    """Write the sum of numbers: any one of them that changes, changes it."""
    return f"({' + '.join(map('{} * {}'.format, columns, _FACTORS))}) % 2147483647"


RESULT_SUM: Final = sum_of("first", "last", "status", "attempts", "answer")
_BY_POSITION_SUM: Final = sum_of("position", "run", "repeats", "status", "attempts", "answer", "entry_sum")
ASIDE_SUM: Final = f"({_BY_POSITION_SUM} + ifnull(known_by, 0) % 2147483647) % 2147483647"
_RUN_SUM: Final = sum_of("requests", "recent", "ids", "writes")
_COLUMNS: Final = (
    "records ADD COLUMN sum BLOB",  # 4 bytes of the fingerprint, 4 of the entry
    "prints ADD COLUMN sum BLOB",
    "answers ADD COLUMN sum BLOB",
    "results ADD COLUMN sum INTEGER",
    "asides ADD COLUMN entry_sum INTEGER",
    "asides ADD COLUMN sum INTEGER",
    "runs ADD COLUMN ids INTEGER",  # of all records, added up
    "runs ADD COLUMN writes INTEGER",
    "runs ADD COLUMN sum INTEGER",
)
_WRONG: Final = "SELECT EXISTS (SELECT * FROM {} WHERE {} {})"
_ALL: Final = "SELECT EXISTS (SELECT * FROM meta WHERE name = 'sum')"  # it was begun with sums: no row is without
_HAS: Final = "SELECT EXISTS (SELECT * FROM pragma_table_info(?) WHERE name = ?)"
ASIDES: Final = """
CREATE TABLE asides (
    position INTEGER NOT NULL, run INTEGER NOT NULL, repeats INTEGER NOT NULL, status INTEGER NOT NULL,
    attempts INTEGER NOT NULL, answer INTEGER NOT NULL, entry TEXT, known_by INTEGER, PRIMARY KEY (run, position)
) WITHOUT ROWID
"""
# Inputs that are given one after the other have something at the same positions.
_KNOW_ASIDES: Final = (
    "ALTER TABLE asides RENAME TO asides_by_position",
    ASIDES,
    *(f"ALTER TABLE {column}" for column in _COLUMNS if column.startswith("asides ")),
    """
    INSERT INTO asides (position, run, repeats, status, attempts, answer, entry, entry_sum, sum)
    SELECT position, run, repeats, status, attempts, answer, entry, entry_sum, sum FROM asides_by_position
    """,
    "DROP TABLE asides_by_position",
)
_ODD: Final = """
SELECT EXISTS (SELECT * FROM results WHERE status NOT BETWEEN 1 AND 8 OR last < first)
OR (SELECT ifnull(sum(last - first + 1), 0) FROM results) > (SELECT count(*) FROM records)
OR EXISTS (SELECT * FROM results WHERE typeof(status) != 'integer' OR typeof(attempts) != 'integer')
OR EXISTS (SELECT * FROM asides WHERE typeof(status) != 'integer' OR status NOT BETWEEN 1 AND 8
    OR run NOT IN (SELECT id FROM runs))
OR EXISTS (SELECT * FROM runs WHERE typeof(version) != 'text' OR typeof(started) NOT IN ('real', 'integer'))
OR (EXISTS (SELECT * FROM records) AND NOT EXISTS (SELECT * FROM runs))
"""
_ASTRAY: Final = "SELECT EXISTS (SELECT * FROM prints WHERE record NOT IN (SELECT id FROM records))"
_LOST: Final = "SELECT ids != (SELECT ifnull(sum(id), 0) FROM records) FROM runs ORDER BY id DESC LIMIT 1"


def has_sums(connection: sqlite3.Connection) -> bool:
    """Whether a journal has the columns for sums."""
    return _has(connection, "runs", "sum")


def add_sums(connection: sqlite3.Connection) -> None:
    """Give a journal the columns for sums, which earlier versions do not mind when reading."""
    if not has_sums(connection):
        for column in _COLUMNS:
            connection.execute(f"ALTER TABLE {column}")


def know_asides(connection: sqlite3.Connection) -> None:
    """Have asides known by what they are, where they were known by their positions."""
    if not _has(connection, "asides", "known_by"):
        for statement in _KNOW_ASIDES:
            connection.execute(statement)


def _has(connection: sqlite3.Connection, table: str, column: str) -> bool:
    return bool(connection.execute(_HAS, (table, column)).fetchone()[0])


def damaged(path: Path, what: str) -> JournalError:
    """Make the error for a journal that is not as it was written."""
    return JournalError(
        f"the journal {path} cannot be used: it is damaged ({what}), and nothing it says counts; put a copy in its "
        "place, with all that stood beside it, or give another file to begin anew, which sends every record again"
    )


def check_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file is in order, and that all numbers and records are as they were written.

    Raises:
        JournalError: It is damaged.
    """
    for (found,) in connection.execute("PRAGMA quick_check(1)"):
        if found != "ok":
            raise damaged(path, found)
    if connection.execute(_ODD).fetchone()[0]:
        raise damaged(path, "results are not what was written")
    if not has_sums(connection):
        return
    differs = "ifnull(sum, -1) IS NOT" if connection.execute(_ALL).fetchone()[0] else "sum !="
    aside_sum = ASIDE_SUM if _has(connection, "asides", "known_by") else _BY_POSITION_SUM
    for table, its_sum in (("results", RESULT_SUM), ("runs", _RUN_SUM), ("asides", aside_sum)):
        if connection.execute(_WRONG.format(table, differs, its_sum)).fetchone()[0]:
            raise damaged(path, f"{table} are not what was written")
    if connection.execute(_LOST).fetchone()[0]:
        raise damaged(path, "records are missing")


def sums(texts: Iterable[bytes]) -> bytes:
    """Return the sums of texts, 4 bytes each."""
    found = [*map(crc32, texts)]
    return pack(f"<{len(found)}I", *found)


def check_texts(rows: Iterable[Sequence[Any]], path: Path) -> None:
    """Check texts against their sums, which may be None, and that none is missing."""
    for text, noted in rows:
        found = crc32(text if isinstance(text, bytes) else text.encode())
        if noted is not None and found != (noted if isinstance(noted, int) else int.from_bytes(noted, "little")):
            raise damaged(path, "a text is not what was written")


def check_prints(connection: sqlite3.Connection, path: Path) -> None:
    """Check the fingerprints by which records are found: a record that is not found counts as new."""
    cursor = connection.execute("SELECT fingerprint, sum FROM prints WHERE sum NOT NULL")
    while rows := cursor.fetchmany(_AT_ONCE):
        prints, noted = zip(*rows, strict=True)
        if sums(prints) != b"".join(noted):
            raise damaged(path, "a fingerprint is not what was written")
    if connection.execute(_ASTRAY).fetchone()[0]:
        raise damaged(path, "a fingerprint belongs to no record")
