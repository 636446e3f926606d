"""A run that several processes share, on one journal in PostgreSQL."""

from typing import Any, Generic, Literal

from omeda_async._generic import Receipt_co, Record_co
from omeda_async.bulk._item import Records
from omeda_async.bulk.shared.reports import ChunkReport, RunFilled
from omeda_async.outcomes import BulkReport


class SharedRun(Generic[Record_co, Receipt_co]):
    """A run that several processes share. Each makes one such object, on the same journal, with the same options.

    One of them (or each: it is done once) reads the input by :meth:`fill`; then every process sends chunks of it: by
    :meth:`work`, or chunk by chunk by :meth:`perform`, as an engine for jobs wants it. Nothing has to be closed.
    """

    async def fill(
        self, records: Records[Any], *, chunk: int = 500, journal_pii: Literal["keep", "hash"] = "keep"
    ) -> RunFilled:
        """Read the input once, into the journal; nothing is sent.

        The same call again changes nothing; one that was broken off is gone on with. Input that has grown at its end
        makes further chunks. Others may perform chunks while it goes on.

        Args:
            records: As for the bulk run.
            chunk: Records that a process claims at a time.
            journal_pii: ``"hash"`` keeps of a record only a salted hash, as soon as its outcome is there.

        Raises:
            JournalError: It cannot be written, another fills it, or it is another run's.
            InvalidRecord: The records are no iterable of records.
            ConfigurationError: An option is out of range; the message names it.

        Cancelling it leaves a journal that the same call completes.
        """
        raise NotImplementedError

    async def perform(self, number: int) -> ChunkReport:
        """Perform one chunk: claim it, settle what may have been sent before, send the rest, and give it back.

        Args:
            number: Of the chunk, from 0.

        Raises:
            JournalError: The journal cannot be written, is another run's, or has no such chunk. What was sent before
                is in it; where it was lost in the middle, whoever performs the chunk next settles it.
            ClosedError: The session manager is closed.

        Cancelling it stops at once; what had been sent is noted, and the chunk is given back.
        """
        raise NotImplementedError

    async def work(self) -> BulkReport[Record_co, Receipt_co]:
        """Perform whatever chunk is free, until none is left; give the report of the whole run.

        It waits for chunks that other processes hold, and takes over those of processes that have died; also for
        one that fills the run. It ends early where the run is cancelled, or a cause would meet every record.

        Raises:
            JournalError: The journal cannot be used, also after a minute of trying again.
            ClosedError: The session manager is closed.

        Cancelling it stops at once; what had been sent is noted, and the chunk is given back.
        """
        raise NotImplementedError

    async def report(self) -> BulkReport[Record_co, Receipt_co]:
        """Give the report of the whole run, of all processes, as the journal knows it.

        Records that nobody has sent yet count as ``not_sent``, those that may have been as ``unknown``.

        Raises:
            JournalError: The journal cannot be read.
        """
        raise NotImplementedError
