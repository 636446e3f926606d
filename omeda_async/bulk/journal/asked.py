"""What the workers of a run ask of its journal, as one group: pure but for the futures of those who wait."""

import asyncio
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, TypeAlias, TypeVar

import attrs

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item
from omeda_async.bulk.journal.codec import Codec
from omeda_async.bulk.journal.in_hand import InHand
from omeda_async.bulk.journal.interface import Aside, Entries, Kept, Known, WriteGroup
from omeda_async.errors import JournalError

T = TypeVar("T")
Waiter: TypeAlias = asyncio.Future[list[Closed]]


@attrs.define
class Begun:
    """Items that are about to be sent."""

    items: Sequence[Item]
    fingerprints: bytes
    entries: str | None
    """As they are written; None where some may be known, which are not written again."""
    waiter: Waiter
    settled: list[Closed] = attrs.field(factory=list)
    """Those that an earlier run has settled."""


@attrs.define
class Asked:
    """What was asked for since the last write began."""

    begun: list[Begun] = attrs.field(factory=list)
    results: list[tuple[Sequence[int], Kept]] = attrs.field(factory=list)
    recorded: list[asyncio.Future[None]] = attrs.field(factory=list)
    left: list[tuple[Sequence[Closed], Waiter]] = attrs.field(factory=list)
    notes: list[Aside] = attrs.field(factory=list)
    _strangers: list[tuple[Item, Result[Any]]] = attrs.field(factory=list, init=False)
    """Those left that were never begun."""
    _new: list[Item] = attrs.field(factory=list, init=False)
    _standing: dict[Item, Result[Any]] = attrs.field(factory=dict, init=False)

    @property
    def waited_for(self) -> bool:
        """Whether anybody waits for it."""
        return bool(self.begun or self.recorded or self.left)

    def fingerprints(self, hand: InHand, codec: Codec) -> bytes:
        """Return those of all that earlier runs may know; to be called when what was asked for before is written."""
        # Who was cancelled meanwhile hands its items to leave.
        self.begun = [one for one in self.begun if not one.waiter.cancelled()]
        for items, result in (one for closed, _ in self.left for one in closed):
            self._strangers += [(item, result) for item in items if item not in hand]
        strangers = codec.fingerprints([item for item, _ in self._strangers])
        return b"".join([*(one.fingerprints for one in self.begun), strangers])

    def group(self, hand: InHand, codec: Codec, known: Sequence[Known | None]) -> WriteGroup:
        """Make the group that is to be written; ``known`` is about these fingerprints, or empty."""
        kept, group = codec.keeper(), WriteGroup(results=self.results, asides=self.notes)
        for items, result in (one for closed, _ in self.left for one in closed):
            records, repeats = hand.close([item for item in items if item in hand])
            group.results += [(records, kept(result))] if records else []
            group.asides += [Aside(item.position, kept(result), None) for item in repeats]
        entries, first = [], 0
        for one in self.begun:
            last = first + len(one.items)
            new = one.items
            if known:
                one.settled, new = hand.look(one.items, known[first:last], group)
            if len(new) < len(one.items) or one.entries is None:
                entries.append(codec.entries(new))
            else:
                entries.append(Entries(len(new), one.fingerprints, one.entries))
            self._new += new
            first = last
        entries.append(self._left(hand, codec, known[first:], group))
        group.entries = _joined([one for one in entries if one.number])
        return group

    def _left(self, hand: InHand, codec: Codec, known: Sequence[Known | None], group: WriteGroup) -> Entries:
        """See what stands of those that were never begun; give the entries of those that are new."""
        kept = codec.keeper()
        new: list[Item] = []
        for (item, result), one in zip_longest(self._strangers, known):
            if one is None:
                group.left.append((len(self._new) + len(new), kept(result)))
                new.append(item)
                continue
            standing, repeats = hand.leave(item, result, one)
            self._standing[item] = standing
            if one.position > item.position:
                group.moved.append((item.position, one.record))
            if repeats:
                group.asides.append(Aside(item.position, kept(standing), None))
        return codec.entries(new)

    def tell(self, hand: InHand, records: Sequence[int]) -> None:
        """Take over the numbers of the entries that were written, and tell all who wait."""
        hand.enter(self._new, records)
        for numbers, _ in self.results:
            hand.written(numbers)
        for one in self.begun:
            _set(one.waiter, one.settled)
        for closed, waiter in self.left:
            _set(waiter, _as_it_stands(closed, self._standing))
        for recorded in self.recorded:
            _set(recorded, None)

    def fail(self, error: JournalError) -> None:
        """Tell all who wait that it could not be written."""
        waiters: list[asyncio.Future[Any]] = [*self.recorded]
        waiters += [one.waiter for one in self.begun]
        waiters += [waiter for _, waiter in self.left]
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)


def _set(waiter: asyncio.Future[T], value: T) -> None:
    if not waiter.done():
        waiter.set_result(value)


def _joined(entries: Sequence[Entries]) -> Entries:
    if len(entries) == 1:
        return entries[0]
    fingerprints, text = b"".join([one.fingerprints for one in entries]), ",".join([one.json[1:-1] for one in entries])
    return Entries(sum(one.number for one in entries), fingerprints, f"[{text}]")


def _as_it_stands(closed: Sequence[Closed], standing: dict[Item, Result[Any]]) -> list[Closed]:
    if not standing:
        return list(closed)
    kept = [([item for item in items if item not in standing], result) for items, result in closed]
    changed = [([item], standing[item]) for items, _ in closed for item in items if item in standing]
    return [*(one for one in kept if one[0]), *changed]
