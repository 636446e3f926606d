"""Claiming the chunks of a shared run, and giving them back. All moments are the server's."""

import os
from collections.abc import Mapping
from typing import Any, Final

import attrs

from omeda_async._postgres_blocking import Connection, failing, row_of, transaction
from omeda_async.bulk.journal.chunks import CANCELLED, ChunkRow, ChunkStatus, Claimed, NotClaimed, Terms, holder
from omeda_async.bulk.journal.codec import STATUS_CODES, STATUSES
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import UNSETTLED, Kept
from omeda_async.bulk.journal.postgres_line import Line
from omeda_async.bulk.journal.postgres_link import Stored, check_identity, usable
from omeda_async.bulk.journal.postgres_lock import IS_HELD
from omeda_async.bulk.journal.reading import codes_of
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.errors import ClosedError, JournalError
from omeda_async.outcomes import OutcomeStatus

_LEASE: Final = """lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
    free_at = clock_timestamp() + make_interval(secs => %(lease)s + %(attempt)s)"""
_CLAIM: Final = """
WITH free AS (
    SELECT number FROM omeda_async_journal_chunks
    WHERE journal = %(journal)s AND NOT done AND (free_at IS NULL OR free_at <= clock_timestamp())
        AND (%(number)s::integer IS NULL OR number = %(number)s)
    ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE omeda_async_journal_chunks AS c SET fence = fence + 1, holder = %(holder)s, <lease>
FROM free WHERE c.journal = %(journal)s AND c.number = free.number
    AND NOT (SELECT cancelled FROM omeda_async_journals WHERE id = %(journal)s)
RETURNING c.number, c.fence, c.first, c.last, c.requests
""".replace("<lease>", _LEASE)
_ROWS: Final = """
SELECT r.id, r.fingerprint, r.status, r.attempts, a.answer, r.record
FROM omeda_async_journal_records AS r LEFT JOIN omeda_async_journal_answers AS a ON a.id = r.answer
WHERE r.id BETWEEN %s AND %s AND (r.status IS NULL OR r.status = ANY(%s)) AND r.record IS NOT NULL ORDER BY r.id
"""
_RECENT: Final = """
SELECT coalesce(sum(recent), 0)::bigint, coalesce(extract(epoch FROM clock_timestamp() - max(seen)), 0)::float8
FROM omeda_async_journal_chunks
WHERE journal = %(journal)s AND holder <> %(holder)s AND seen > clock_timestamp() - make_interval(secs => %(lookback)s)
"""
_ONE: Final = """
SELECT done, extract(epoch FROM free_at - clock_timestamp())::float8 FROM omeda_async_journal_chunks
WHERE journal = %(journal)s AND number = %(number)s
"""
_ALL: Final = """
SELECT count(*) = 0, min(extract(epoch FROM free_at - clock_timestamp()))::float8
FROM omeda_async_journal_chunks WHERE journal = %(journal)s AND NOT done
"""
HOLD: Final = """
UPDATE omeda_async_journal_chunks SET <lease>,
    requests = coalesce(%(requests)s, requests), recent = coalesce(%(recent)s, recent),
    seen = CASE WHEN %(recent)s::bigint IS NULL THEN seen ELSE clock_timestamp() END
WHERE journal = %(journal)s AND number = %(number)s AND fence = %(fence)s AND NOT done
RETURNING (SELECT cancelled FROM omeda_async_journals WHERE id = %(journal)s)
""".replace("<lease>", _LEASE).encode()
"""Holds a chunk for longer, if it is still held; tells whether the run was cancelled."""
# A renewal that comes late must not hold what nobody holds: the fence is another.
_GIVE_BACK: Final = """
UPDATE omeda_async_journal_chunks SET done = %(done)s, fence = fence + 1, lease_until = NULL, free_at = NULL
WHERE journal = %(journal)s AND number = %(number)s AND fence = %(fence)s
"""
_WIPE: Final = "UPDATE omeda_async_journal_records SET record = NULL WHERE id BETWEEN %s AND %s"
_COUNTS: Final = """
SELECT coalesce(status, %s), count(*) FROM omeda_async_journal_records WHERE id BETWEEN %s AND %s GROUP BY 1
"""
_IS_DONE: Final = """
SELECT coalesce(bool_and(done), false) FROM omeda_async_journal_chunks WHERE journal = %s AND number = %s
"""
_BOUNDS: Final = "SELECT first, last FROM omeda_async_journal_chunks WHERE journal = %s AND number = %s"
_GO_ON: Final = "UPDATE omeda_async_journals SET stopped = NULL WHERE id = %s AND stopped IS NOT NULL"
"""Lets a run that was stopped count as one that goes on."""
_SOON: Final = 0.05
_known: Final[set[str]] = set()
"""Runs whose requests of late this process has been told of; what it makes itself its limiter knows."""
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_known.clear)


def claim(line: Line, identity: Identity, terms: Terms, number: int | None) -> Claimed | NotClaimed:
    """Claim a chunk, or the first that is free.

    Raises:
        JournalError: The journal cannot be used, is another run's, or has no such chunk.
    """
    stored = line.stored()
    check_identity(stored, attrs.evolve(identity, pii=stored.identity["journal_pii"]), line.url)
    sql = line.connected()
    values = {"journal": stored.id, "number": number, "holder": holder(), **attrs.asdict(terms)}
    with usable(line.url), transaction(sql):
        found = sql.execute(_CLAIM.encode(), values).fetchone()
        if found is not None:
            sql.execute(_GO_ON, (stored.id,))
            return _claimed(sql, line, stored, values, found)
    with usable(line.url), failing(sql):
        return _refusal(sql, line, stored, values)


def _claimed(sql: Connection, line: Line, stored: Stored, values: Mapping[str, Any], found: tuple[Any, ...]) -> Claimed:
    number, fence, first, last, requests = found
    recent, seconds_ago = (0, 0.0) if str(line.url) in _known else row_of(sql, _RECENT, values)
    unsettled = sql.execute(_ROWS, (first, last, codes_of(UNSETTLED)))
    rows = [
        ChunkRow(row_id, bytes(fingerprint), None if code is None else Kept(STATUSES[code], attempts, answer), record)
        for row_id, fingerprint, code, attempts, answer, record in unsettled
    ]
    return Claimed(
        journal=stored.id,
        number=number,
        fence=fence,
        first=first,
        last=last,
        rows=rows,
        salt=stored.salt,
        requests=requests,
        recent=recent,
        seconds_ago=max(0.0, seconds_ago),
    )


def is_news(url: JournalUrl) -> bool:
    """Whether nobody here knows yet what others made of late for a run; from now on somebody does.

    Apart from the claim: of one that fails, or that nobody wants any more, nobody has learnt anything.
    """
    if str(url) in _known:
        return False
    _known.add(str(url))
    return True


def _refusal(sql: Connection, line: Line, stored: Stored, values: Mapping[str, Any]) -> NotClaimed:
    row = sql.execute(_ALL if values["number"] is None else _ONE, values).fetchone()
    if row is None:
        raise JournalError(f"the journal {line.url} has no chunk {values['number']}", missing="chunk")
    is_done, free_in = row
    if is_done and (stored.filled or values["number"] is not None):
        return NotClaimed(status=ChunkStatus.DONE)
    if stored.cancelled:
        return NotClaimed(status=ChunkStatus.CANCELLED, stopped_by=ClosedError(CANCELLED))
    if is_done and row_of(sql, IS_HELD, (stored.id,)) == (False,):
        text = f"the input of the journal {line.url} was not read to its end, and nobody reads it: call fill again"
        return NotClaimed(status=ChunkStatus.LEFT, stopped_by=JournalError(text))
    return NotClaimed(status=ChunkStatus.TAKEN, retry_in=max(free_in or 0.0, _SOON))


def give_back(line: Line, claimed: Claimed, *, done: bool) -> bool:
    """Let others have a chunk, if it is still held: it is done, or to be gone on with.

    Nothing of it may be under way any more. Where records are not to be kept, those of a chunk that is done are gone.

    Returns:
        Whether it is done: by this call, by one before of which nothing was heard, or by another process.
    """
    sql = line.connected()
    values = {"journal": claimed.journal, "number": claimed.number, "fence": claimed.fence, "done": done}
    with usable(line.url), transaction(sql):
        gone = sql.execute(_GIVE_BACK, values).rowcount == 0
        if done and claimed.salt is not None and not gone:
            sql.execute(_WIPE, (claimed.first, claimed.last))
        return row_of(sql, _IS_DONE, (claimed.journal, claimed.number)) == (True,) if gone else done


def counts_of(line: Line, number: int) -> dict[OutcomeStatus, int]:
    """Return what has become of the records of a chunk; what may have been sent is unknown."""
    sql, stored = line.connected(), line.stored()
    with usable(line.url), failing(sql):
        bounds = row_of(sql, _BOUNDS, (stored.id, number))
        counted = sql.execute(_COUNTS, (STATUS_CODES[OutcomeStatus.UNKNOWN], *bounds))
        return {STATUSES[code]: records for code, records in counted}
