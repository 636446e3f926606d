"""Whether all that was read into the journal of a shared run is still there: rows may be removed beside us."""

from typing import Final, NamedTuple

from omeda_async._postgres_blocking import Connection, row_of
from omeda_async.bulk.journal.postgres_link import Stored
from omeda_async.bulk.journal.postgres_tables import SPAN, ids_of

_THERE: Final = """
SELECT (SELECT count(*) FROM omeda_async_journal_records WHERE id BETWEEN %(first)s AND %(last)s),
    (SELECT count(*) FROM omeda_async_journal_asides WHERE journal = %(journal)s),
    (SELECT coalesce(sum(last - first + 1), 0)::bigint FROM omeda_async_journal_chunks WHERE journal = %(journal)s),
    (SELECT coalesce(max(last), %(base)s) - %(base)s FROM omeda_async_journal_chunks WHERE journal = %(journal)s)
"""


class Missing(NamedTuple):
    """What is not there any more."""

    records: int
    """Records, repeats and refused ones included."""
    in_chunks: int
    """Records that no chunk holds."""

    def __str__(self) -> str:
        parts = [f"{self.records:,} of the records that were read into it are not there any more"] * bool(self.records)
        parts += [f"{self.in_chunks:,} are in no chunk any more"] * bool(self.in_chunks)
        return " and ".join(parts)


def missing_of(connection: Connection, stored: Stored) -> Missing:
    """Compare what is there with what was noted."""
    values = {"journal": stored.id, "base": stored.id * SPAN, **ids_of(stored.id)}
    records, asides, in_chunks, up_to = row_of(connection, _THERE, values)
    gone = max(0, (stored.records or 0) - records) + max(0, (stored.asides or 0) - asides)
    return Missing(gone, max(0, max(up_to, (stored.records or 0) if stored.filled else 0) - in_chunks))
