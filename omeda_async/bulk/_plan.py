"""What a run would do, without doing it."""

import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from hashlib import blake2b
from typing import Any

from omeda_async import _clock
from omeda_async.bulk._chunks import Chunker
from omeda_async.bulk._engine import BREATHE_EVERY, FanOutOptions
from omeda_async.bulk._input import iterate
from omeda_async.bulk._item import Item, Records, Work, key_of, read_item
from omeda_async.errors import InvalidRecord
from omeda_async.limits import RateLimit
from omeda_async.outcomes import FAILURES_KEPT, Outcome, OutcomeStatus, Plan

LOOKED_UP_AT_ONCE = 500


def least_seconds(limit: RateLimit, requests: int) -> float:
    """Estimate the time that so many requests take under a limit, answers not counted.

    A provider's headers may prove that a window ended earlier: then it takes less.
    """
    left, seconds = max(0, requests - 1), 0.0
    for window in sorted(limit.windows, key=lambda window: -window.seconds):
        laps, left = divmod(left, window.calls)
        seconds += laps * window.seconds
    paced = (requests - 1) * limit.pace if limit.pace and requests else 0.0
    return max(seconds, paced)


def isolation_cost(batches: list[int]) -> int:
    """Return the requests that isolating may cost at worst: every record a culprit, and nobody named."""
    return sum(2 * size - 2 for size in batches)


async def _none(items: Sequence[Item]) -> Collection[int]:  # noqa: ARG001 the signature
    return ()


async def make_plan(
    work: Work,
    records: Records,
    options: FanOutOptions,
    settled: Callable[[Sequence[Item]], Awaitable[Collection[int]]] = _none,
) -> Plan:
    """Read the input to its end, and count.

    Args:
        work: How items are read and sent.
        records: The input.
        options: How the run would be made.
        settled: Tells which of some items an earlier run has settled, by their places.
    """
    chunker = Chunker(options.max_entries, options.max_bytes)
    seen: set[bytes] = set()
    refused: list[Outcome] = []
    batches: list[int] = []
    due: list[Item] = []
    fresh: list[Item] = []
    done: set[Item] = set()
    position = duplicates = refused_total = earlier = 0

    async def look_up() -> None:
        nonlocal earlier
        places = await settled(fresh)
        earlier += len(places)
        for place, item in enumerate(fresh):
            if place in places:
                done.add(item)
            elif item.due < math.inf:
                due.append(item)
            batches.extend(_unsettled(chunker.feed(item) or (), done))
        fresh.clear()

    async for record in iterate(records):
        item = _read(work, record, position)
        position += 1
        if isinstance(item, Outcome):
            refused_total += 1
            refused += [item][: FAILURES_KEPT - len(refused)]
        elif (print_ := _print_of(item)) in seen:
            duplicates += 1
        else:
            seen.add(print_)
            fresh.append(item)
            if len(fresh) >= LOOKED_UP_AT_ONCE:
                await look_up()
        if position % BREATHE_EVERY == 0:
            await _clock.sleep(0)
    await look_up()
    batches += _unsettled(chunker.flush(), done)
    return Plan(
        records=position,
        requests=len(batches),
        seconds=least_seconds(work.account.settings.rate_limit, len(batches)),
        duplicates=duplicates,
        refused=tuple(refused),
        refused_total=refused_total,
        isolation_requests=min(isolation_cost(batches), options.isolation_budget),
        late=_late(work.account.settings.rate_limit, due),
        settled=earlier,
    )


def _print_of(item: Item) -> bytes:
    # All of them are kept: those that are long would take more memory than they have to.
    return blake2b(item.fingerprint, digest_size=16).digest()


def _unsettled(items: Sequence[Item], done: set[Item]) -> list[int]:
    size = len(items)
    if done:
        size -= len(done.intersection(items))
        done.difference_update(items)
    return [size] if size else []


def _late(limit: RateLimit, due: list[Item]) -> tuple[Outcome, ...]:
    """Find the records whose turn comes after they are due, when those due first go first."""
    now = _clock.utc_now().timestamp()
    due.sort(key=lambda item: item.due)
    late = [item for turn, item in enumerate(due) if now + least_seconds(limit, turn + 1) > item.due]
    status = OutcomeStatus.TOO_LATE
    return tuple(
        Outcome(record=item.raw, key=item.key, position=item.position, status=status) for item in late[:FAILURES_KEPT]
    )


def _read(work: Work, record: Any, position: int) -> Item | Outcome:
    item = read_item(work, record)
    if isinstance(item, InvalidRecord):
        return Outcome(record=record, key=key_of(record), position=position, status=OutcomeStatus.REJECTED, error=item)
    item.position = position
    return item
