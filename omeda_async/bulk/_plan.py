"""What a run would do, without doing it."""

import math
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from hashlib import blake2b
from itertools import compress
from typing import Any, TypeAlias

import attrs

from omeda_async import _clock
from omeda_async.bulk._chunks import Chunker
from omeda_async.bulk._engine import EngineOptions
from omeda_async.bulk._item import Item, Records, refused
from omeda_async.bulk._job import Work
from omeda_async.bulk._reader import BREATHE_EVERY, iterate, read_item
from omeda_async.limits import RateLimit
from omeda_async.outcomes import FAILURES_KEPT, Outcome, OutcomeStatus, Plan

LOOKED_UP_AT_ONCE = 500
Settled: TypeAlias = Callable[[Sequence[Item]], Awaitable[Collection[int]]]
_DIGEST = 16
_BUCKETS = 256


def least_seconds(limit: RateLimit, requests: int) -> float:
    """Estimate the time that so many bulk requests take under a limit, the time until their responses not counted.

    A provider's headers may prove that a window ended earlier: then it takes less.
    """
    left, seconds = max(0, requests - 1), 0.0
    for window in sorted(limit.windows, key=lambda window: -window.seconds):
        laps, left = divmod(left, window.calls - limit.reserve_of(window.calls))
        seconds += laps * window.seconds
    paced = (requests - 1) * limit.pace if limit.pace and requests else 0.0
    return max(seconds, paced)


def isolation_cost(batches: list[int]) -> int:
    """Return the requests that isolating may cost at worst: every record a culprit, and nobody named."""
    return sum(2 * size - 2 for size in batches)


@attrs.define(eq=False)
class _Entry:
    """What is kept of a record that can be sent."""

    size: int
    settled: bool


@attrs.define(eq=False)
class _Seen:
    """The records that can be sent: some 25 bytes for each, where a set of fingerprints would take a hundred."""

    sizes: "array[int]" = attrs.field(factory=lambda: array("I"))
    settled: bytearray = attrs.field(factory=bytearray)
    """1 for each that an earlier run has settled."""
    due: list[tuple[int, Item]] = attrs.field(factory=list)
    """Those that have to be done by some time, and their places."""
    _buckets: "list[tuple[bytearray, array[int]]]" = attrs.field(
        factory=lambda: [(bytearray(), array("I")) for _ in range(_BUCKETS)]
    )

    def add(self, items: Sequence[Item], settled: Collection[int]) -> None:
        """Note records, and which of them an earlier run has settled, by their places."""
        for place, item in enumerate(items):
            digest = item.fingerprint
            if len(digest) != _DIGEST:
                digest = blake2b(digest, digest_size=_DIGEST).digest()
            digests, places = self._buckets[digest[0]]
            digests += digest
            places.append(len(self.sizes))
            if item.due < math.inf and place not in settled:
                self.due.append((len(self.sizes), item))
            self.sizes.append(item.size)
            self.settled.append(place in settled)

    async def firsts(self) -> bytearray:
        """Return 1 for each record that does not repeat an earlier one, else 0."""
        flags = bytearray(b"\1") * len(self.sizes)
        for digests, places in self._buckets:
            seen: set[bytes] = set()
            for number, place in enumerate(places):
                digest = bytes(digests[number * _DIGEST : (number + 1) * _DIGEST])
                flags[place] = digest not in seen
                seen.add(digest)
            if len(places) >= BREATHE_EVERY:
                await _clock.sleep(0)
        return flags

    async def batches(self, firsts: bytearray, options: EngineOptions) -> AsyncIterator[int]:
        """Yield the number of records that each request would hold."""
        chunker: Chunker[_Entry] = Chunker(options.max_entries, options.max_bytes)
        for number, (size, settled) in enumerate(compress(zip(self.sizes, self.settled, strict=True), firsts)):
            if left := _unsettled(chunker.feed(_Entry(size, bool(settled)))):
                yield left
            if number % BREATHE_EVERY == 0:
                await _clock.sleep(0)
        if left := _unsettled(chunker.flush()):
            yield left


async def make_plan(work: Work, records: Records[Any], options: EngineOptions, settled: Settled | None = None) -> Plan:
    """Read the input to its end, and count.

    Args:
        work: How items are read and sent.
        records: The input.
        options: How the run would be made.
        settled: Tells which of some items an earlier run has settled, by their places; None where none has.
    """
    seen = _Seen()
    unsendable: list[Outcome] = []
    fresh: list[Item] = []
    position = 0
    async for record in iterate(records):
        item = read_item(work, record, position)
        position += 1
        if item.refusal is None:
            fresh.append(item)
            if len(fresh) >= LOOKED_UP_AT_ONCE:
                seen.add(fresh, () if settled is None else await settled(fresh))
                fresh.clear()
        elif len(unsendable) < FAILURES_KEPT:
            unsendable.append(item.outcome(refused(item)))
        if position % BREATHE_EVERY == 0:
            await _clock.sleep(0)
    seen.add(fresh, () if settled is None else await settled(fresh))
    firsts = await seen.firsts()
    batches = [size async for size in seen.batches(firsts, options)]
    limit = work.account.settings.rate_limit
    return Plan(
        records=position,
        requests=len(batches),
        seconds=least_seconds(limit, len(batches)),
        duplicates=len(firsts) - sum(firsts),
        refused=tuple(unsendable),
        refused_total=position - len(firsts),
        isolation_requests=min(isolation_cost(batches), options.isolation_budget),
        late=_late(limit, [item for place, item in seen.due if firsts[place]]),
        settled=sum(compress(seen.settled, firsts)),
    )


def _unsettled(batch: list[_Entry] | None) -> int:
    return sum([not entry.settled for entry in batch]) if batch else 0


def _late(limit: RateLimit, due: list[Item]) -> tuple[Outcome, ...]:
    """Find the records whose turn comes after they are due, when those due first go first."""
    now = _clock.utc_now().timestamp()
    due.sort(key=lambda item: item.due)
    late = [item for turn, item in enumerate(due) if now + least_seconds(limit, turn + 1) > item.due]
    status = OutcomeStatus.TOO_LATE
    return tuple(
        Outcome(record=item.raw, key=item.key, position=item.position, status=status) for item in late[:FAILURES_KEPT]
    )
