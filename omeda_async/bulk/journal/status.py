"""Reading a journal: what it holds, also while a run writes it. Nothing here changes one."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, Final

import attrs
import orjson

from omeda_async.bulk._item import Item
from omeda_async.bulk.journal.codec import SETTLED, STATUS_CODES, STATUSES, record_of, result_of
from omeda_async.bulk.journal.file import (
    Identity,
    check_format,
    codec_of,
    connect,
    identity_of,
    in_use,
    unusable,
)
from omeda_async.errors import JournalError, OmedaAsyncError
from omeda_async.outcomes import OutcomeStatus

CAUSES_SHOWN: Final = 20
NOT_DONE: Final = frozenset(status for status in OutcomeStatus if not status.is_done)

_RUNS: Final = "SELECT started, ended, requests, complete, counts, cause, version FROM runs ORDER BY id"
_COUNTS: Final = """
SELECT status, sum(last - first + 1) FROM results GROUP BY status
UNION ALL SELECT NULL, (SELECT count(*) FROM records) - (SELECT ifnull(sum(last - first + 1), 0) FROM results)
UNION ALL SELECT status, count(*) FROM asides GROUP BY status
"""
_CAUSES: Final = """
SELECT status, attempts, answers.answer, sum(number) FROM (
    SELECT status, max(attempts) AS attempts, answer, sum(last - first + 1) AS number
    FROM results GROUP BY status, answer
    UNION ALL SELECT status, max(attempts), answer, count(*) FROM asides GROUP BY status, answer
) AS seen JOIN answers ON answers.id = seen.answer
WHERE status IN (SELECT value FROM json_each(?)) GROUP BY status, seen.answer
"""
_SETTLED_PRINTS: Final = """
SELECT fingerprint FROM results CROSS JOIN records ON records.id BETWEEN first AND last
WHERE status IN (SELECT value FROM json_each(?))
"""
_NOT_DONE: Final = """
SELECT entry, status, attempts, answers.answer, json_extract(entry, '$[0]') AS position
FROM results CROSS JOIN records ON records.id BETWEEN first AND last JOIN answers ON answers.id = results.answer
WHERE status IN (SELECT value FROM json_each(:codes))
UNION ALL SELECT entry, :unknown, NULL, NULL, json_extract(entry, '$[0]')
FROM outcomes WHERE status IS NULL AND :unknown IN (SELECT value FROM json_each(:codes))
UNION ALL SELECT entry, status, attempts, answers.answer, position
FROM asides JOIN answers ON answers.id = asides.answer
WHERE NOT repeats AND status IN (SELECT value FROM json_each(:codes))
ORDER BY position
"""


@attrs.frozen(kw_only=True)
class JournalRun:
    """One run that wrote a journal; each resume is one more."""

    started: datetime
    ended: datetime | None
    """None: it is under way, or was killed."""
    requests: int
    """HTTP requests made, as far as they were noted."""
    complete: bool
    """Did it read its input to the end?"""
    counts: Mapping[OutcomeStatus, int]
    """What it reported, records settled by earlier runs included; empty until it has ended."""
    cause: str | None
    """Why it ended early."""
    version: str
    """The version of this library that made it."""


@attrs.frozen(kw_only=True)
class JournalCause:
    """Why some records are not done."""

    status: OutcomeStatus
    error: str
    """The class of the error; empty where there is none."""
    message: str
    """Its text, with e-mail addresses masked."""
    records: int


@attrs.frozen(kw_only=True)
class JournalStatus:
    """What a journal holds: always ``total == sum(counts.values()) + under_way``."""

    path: Path
    provider: str
    operation: str
    base_url: str
    scope: Mapping[str, Any]
    """What held for every record: brand, client, reason … Salted hashes where the journal keeps no records."""
    keeps_records: bool
    """False: the journal was made with ``journal_pii="hash"``, and its records are known by position only."""
    running: bool
    """Is a run writing it now?"""
    total: int
    """Records read, by all runs together; a record that several runs have read counts once."""
    counts: Mapping[OutcomeStatus, int]
    under_way: int
    """Records that were about to be sent, with no result noted: in flight, or left so by a run that was killed."""
    repeats: int
    """Of the total, those that ask for what an earlier record asks for."""
    requests: int
    """HTTP requests of all runs."""
    runs: tuple[JournalRun, ...]
    causes: tuple[JournalCause, ...]
    """Why records are not done, the most frequent first, at most 20."""

    @property
    def complete(self) -> bool:
        """Has the last run read its input to the end, and is nothing left to try or to settle?"""
        left = (OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_SENT)
        return bool(self.runs and self.runs[-1].complete) and not self.under_way and not any(map(self.counts.get, left))


@attrs.frozen(kw_only=True)
class JournalRecord:
    """A record that is not done."""

    position: int
    """The place in the input, from 0."""
    record: Any = attrs.field(repr=False)
    """The record as it came in; None where the journal keeps no records, or JSON cannot hold this one."""
    status: OutcomeStatus
    attempts: int
    error: OmedaAsyncError | None


def read_status(path: str | PathLike[str]) -> JournalStatus:
    """Return what a journal holds. It blocks: from a coroutine, call it in a thread.

    Raises:
        JournalError: It cannot be read, or is no journal.
    """
    where = Path(path)
    with opened(where) as connection:
        identity = identity_of(connection)
        runs = tuple(map(_run, connection.execute(_RUNS)))
        counts: Counter[OutcomeStatus | None] = Counter()
        for code, number in connection.execute(_COUNTS):
            counts[STATUSES[code] if code is not None else None] += number
        return JournalStatus(
            path=where,
            provider=identity.pop("provider"),
            operation=identity.pop("operation"),
            base_url=identity.pop("base_url"),
            keeps_records=identity.pop("journal_pii") == "keep",
            scope=identity,
            running=in_use(where),
            total=counts.total(),
            under_way=counts.pop(None, 0),
            counts={status: counts[status] for status in OutcomeStatus if status in counts},
            repeats=connection.execute("SELECT count(*) FROM asides WHERE repeats").fetchone()[0],
            requests=sum(run.requests for run in runs),
            runs=runs,
            causes=_causes(connection),
        )


def read_not_done(path: str | PathLike[str], statuses: Iterable[OutcomeStatus] = NOT_DONE) -> Iterator[JournalRecord]:
    """Return the records that are not done, in the order of the input; repeats of one are left out.

    Those left under way by a run that was killed count as unknown. It blocks, like :func:`read_status`.

    Args:
        path: The journal.
        statuses: Only those that ended so.

    Raises:
        JournalError: It cannot be read, or is no journal.
    """
    codes = orjson.dumps([STATUS_CODES[status] for status in statuses]).decode()
    with opened(Path(path)) as connection:
        for entry, code, attempts, answer, position in connection.execute(
            _NOT_DONE, {"codes": codes, "unknown": STATUS_CODES[OutcomeStatus.UNKNOWN]}
        ):
            yield JournalRecord(
                position=position,
                record=record_of(orjson.loads(entry)[1]),
                status=STATUSES[code],
                attempts=attempts or 0,
                error=None if answer is None else result_of(answer, code, attempts).error,
            )


def settled_in(path: Path, identity: Identity) -> Callable[[Item], bool]:
    """Make what tells which items a run would not send, as an earlier one has settled them. It blocks while it reads.

    Raises:
        JournalError: It cannot be read, is no journal, or is another run's.
    """
    if not path.exists() or not path.stat().st_size:
        return lambda _: False
    with opened(path) as connection:
        codec = codec_of(connection)
        identity.check(identity_of(connection), codec, path)
        codes = orjson.dumps([STATUS_CODES[status] for status in SETTLED]).decode()
        known = frozenset(row[0] for row in connection.execute(_SETTLED_PRINTS, (codes,)))
    return lambda item: codec.salted(item.fingerprint) in known


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a journal to read what it holds at this moment, whatever a run writes meanwhile.

    Raises:
        JournalError: It cannot be read, or is no journal.
    """
    if not path.is_file():
        raise JournalError(f"there is no journal {path}")
    try:
        with closing(connect(path, mode="ro")) as connection:
            connection.execute("BEGIN")
            if not check_format(connection, path):
                raise JournalError(f"the journal {path} is empty: no run has begun it")
            yield connection
    except sqlite3.Error as error:
        raise unusable(path, error) from error


def _run(row: tuple[Any, ...]) -> JournalRun:
    started, ended, requests, complete, counts, cause, version = row
    return JournalRun(
        started=datetime.fromtimestamp(started, UTC),
        ended=None if ended is None else datetime.fromtimestamp(ended, UTC),
        requests=requests,
        complete=bool(complete),
        counts={OutcomeStatus(name): number for name, number in orjson.loads(counts).items()},
        cause=cause,
        version=version,
    )


def _causes(connection: sqlite3.Connection) -> tuple[JournalCause, ...]:
    codes = [code for status, code in STATUS_CODES.items() if not status.is_done]
    found: Counter[tuple[OutcomeStatus, str, str]] = Counter()
    for code, attempts, answer, number in connection.execute(_CAUSES, (orjson.dumps(codes).decode(),)):
        error = result_of(answer, code, attempts).error
        name = type(error).__name__ if error is not None else ""
        found[STATUSES[code], name, error.message if error is not None else ""] += number
    return tuple(
        JournalCause(status=status, error=name, message=message, records=number)
        for (status, name, message), number in found.most_common(CAUSES_SHOWN)
    )
