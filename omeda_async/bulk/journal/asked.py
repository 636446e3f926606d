"""What the workers of a run ask of its journal, as one group: pure but for the futures of those who wait."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item
from omeda_async.bulk.journal.codec import Codec
from omeda_async.bulk.journal.in_hand import InHand
from omeda_async.bulk.journal.interface import Aside, Entries, Kept, Known, WriteGroup, Written
from omeda_async.errors import JournalError

T = TypeVar("T")
Waiter: TypeAlias = asyncio.Future[list[Closed]]


@attrs.define
class Asked:
    """What was asked for since the last write began."""

    begun: list[tuple[Sequence[Item], Entries, Waiter]] = attrs.field(factory=list)
    results: list[tuple[Sequence[int], Kept]] = attrs.field(factory=list)
    recorded: list[asyncio.Future[None]] = attrs.field(factory=list)
    left: list[tuple[Sequence[Closed], Waiter]] = attrs.field(factory=list)
    notes: list[Aside] = attrs.field(factory=list)
    _strangers: list[tuple[Item, Result[Any]]] = attrs.field(factory=list, init=False)
    """Those left that were never begun."""

    @property
    def waited_for(self) -> bool:
        """Whether anybody waits for it."""
        return bool(self.begun or self.recorded or self.left)

    def group(self, hand: InHand, codec: Codec) -> WriteGroup:
        """Make the group that is to be written; to be called when all that was asked for before has been."""
        # Who was cancelled meanwhile hands its items to leave.
        self.begun = [asked for asked in self.begun if not asked[-1].cancelled()]
        entries = [entries for _, entries, _ in self.begun]
        group = WriteGroup(results=self.results, sent=sum([len(one.positions) for one in entries]), asides=self.notes)
        for closed, _ in self.left:
            self._add_left(group, closed, hand, codec)
        if self._strangers:
            entries.append(codec.entries([item for item, _ in self._strangers]))
        if entries:
            group.entries = entries[0] if len(entries) == 1 else _joined(entries)
        return group

    def _add_left(self, group: WriteGroup, closed: Sequence[Closed], hand: InHand, codec: Codec) -> None:
        kept = codec.keeper()
        for items, result in closed:
            strangers = [item for item in items if item not in hand]
            if records := hand.close([item for item in items if item in hand], result):
                group.results.append((records, kept(result)))
            first = group.sent + len(self._strangers)
            group.left.append((range(first, first + len(strangers)), kept(result)))
            self._strangers += [(item, result) for item in strangers]

    def tell(self, hand: InHand, written: Written) -> None:
        """Take over what the backend tells of the group, and tell all who wait."""
        known = {one.place: one for one in written.known} if written.known else {}
        first = 0
        for items, _, waiter in self.begun:
            last = first + len(items)
            theirs = [known.get(place) for place in range(first, last)] if known else ()
            _set(waiter, hand.begin(items, written.records[first:last], theirs))
            first = last
        if self.left:
            self._tell_left(hand, known, first)
        for recorded in self.recorded:
            _set(recorded, None)

    def _tell_left(self, hand: InHand, known: Mapping[int, Known], first: int) -> None:
        standing = {
            item: hand.leave(known[place], item, result)
            for place, (item, result) in enumerate(self._strangers, first)
            if place in known
        }
        for closed, waiter in self.left:
            _set(waiter, _as_it_stands(closed, standing))

    def fail(self, error: JournalError) -> None:
        """Tell all who wait that it could not be written."""
        waiters: list[asyncio.Future[Any]] = [*self.recorded]
        waiters += [waiter for _, _, waiter in self.begun]
        waiters += [waiter for _, waiter in self.left]
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)


def _set(waiter: asyncio.Future[T], value: T) -> None:
    if not waiter.done():
        waiter.set_result(value)


def _joined(entries: Sequence[Entries]) -> Entries:
    return Entries(
        [position for one in entries for position in one.positions],
        b"".join([one.fingerprints for one in entries]),
        "[" + ",".join([one.json[1:-1] for one in entries]) + "]",
    )


def _as_it_stands(closed: Sequence[Closed], standing: dict[Item, Result[Any]]) -> list[Closed]:
    if not standing:
        return list(closed)
    kept = [([item for item in items if item not in standing], result) for items, result in closed]
    changed = [([item], standing[item]) for items, _ in closed for item in items if item in standing]
    return [*(one for one in kept if one[0]), *changed]
