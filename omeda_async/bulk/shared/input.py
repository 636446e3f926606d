"""Reading the input of a shared run into its journal."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any, Final

from omeda_async._thread import Worker
from omeda_async.bulk._item import Item, Records, refused
from omeda_async.bulk._job import Work
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk._reader import BREATHE_EVERY, iterate, read_item
from omeda_async.bulk.journal.chunks import RunFilled
from omeda_async.bulk.journal.codec import Codec, record_of, texts_of
from omeda_async.bulk.journal.postgres_fill import Batch, PostgresFill
from omeda_async.errors import InvalidRecord, JournalError
from omeda_async.events import logger

AT_ONCE: Final = 2000
"""Records that are written in one transaction."""


async def fill(store: PostgresFill, work: Work, records: Records[Any], chunk: int | None) -> RunFilled:
    """Read the input to its end, and write it while the next of it is read.

    Args:
        store: Where to.
        work: How records are read.
        records: The input.
        chunk: How many records are to be claimed at a time, if that was said; where it is another number, a line of the
            log says so.

    Raises:
        JournalError: It cannot be written, or is another run's.

    Cancelling it leaves what has been written; the connection is closed.
    """
    worker = Worker("omeda_async fill")
    try:
        codec = Codec(*await worker.do(store.open))
        if chunk not in {None, store.chunk}:
            text = "%s has chunks of %d records, and keeps to that: chunks of %d are for a run that is not there yet"
            logger.warning(text, store.place, store.chunk, chunk)
        _check_reading(work, codec, await worker.do(store.sample))
        writing: asyncio.Future[None] | None = None
        refused, reason = 0, ""
        async with aclosing(_batches(work, codec, records)) as batches:
            async for batch in batches:
                if writing is not None:
                    await writing
                refused, reason = refused + len(batch.refused), reason or batch.reason
                writing = worker.do(partial(store.add, batch))
        if writing is not None:
            await writing
        filled = await worker.do(store.end)
        if refused:
            text = "%s: %d of the records that were read cannot be sent; the first of them, as %s"
            logger.warning(text, store.place, refused, reason)
        return filled
    finally:
        await outlast(_close(worker, store))


def _check_reading(work: Work, codec: Codec, sample: tuple[str, bytes] | None) -> None:
    """Check that a record reads here as it did where the run was filled: else each would be there twice.

    Raises:
        JournalError: It does not.
    """
    if sample is None:
        return
    text, fingerprint = sample
    if codec.fingerprints([read_item(work, record_of(f"[0,{text}]"), 0).fingerprint]) != fingerprint:
        raise JournalError(
            "the records of this run read differently here than where an older version has filled it: give the same "
            f"settings and options ({', '.join(work.reading)}), or each run its own name"
        )


async def _batches(work: Work, codec: Codec, records: Records[Any]) -> AsyncGenerator[Batch, None]:
    items: list[Item] = []
    position = 0
    async for record in iterate(records):
        items.append(read_item(work, record, position))
        position += 1
        if len(items) == AT_ONCE:
            yield _batch(work, codec, items)
            items = []
        if position % BREATHE_EVERY == 0:
            await asyncio.sleep(0)
    yield _batch(work, codec, items)


async def _close(worker: Worker, store: PostgresFill) -> None:
    await worker.do(store.close)
    worker.end()


def _batch(work: Work, codec: Codec, items: list[Item]) -> Batch:
    """Say what is kept of records: all of one that can be sent, as others have to send it."""
    good = [item for item in items if item.refusal is None]
    texts = [text[text.index(b",") + 1 : -1].decode() for text in texts_of(good)]
    for item, text in zip(good, texts, strict=True):
        if text == "null":
            item.refusal = InvalidRecord.of(None, "cannot be kept as JSON: give an id, a mapping or a model")
            item.refusal.provider, item.refusal.operation = work.account.provider, work.name
    kept = [(item, text) for item, text in zip(good, texts, strict=True) if item.refusal is None]
    bad = [item for item in items if item.refusal is not None]
    return Batch(
        reason=str(bad[0].refusal) if bad else "",
        positions=[item.position for item, _ in kept],
        fingerprints=codec.fingerprints(item.fingerprint for item, _ in kept),
        texts=[text for _, text in kept],
        refused_as=codec.refused_as([item for item, _ in kept]) if codec.knows_refused else [],
        refused=[codec.refused(item, result) for item, result in codec.kept((item, refused(item)) for item in bad)],
    )
