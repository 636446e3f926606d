"""Which records of a journal the items of a run stand for, and what earlier runs mean for them: pure."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import attrs

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item, still_doubtful
from omeda_async.bulk.journal.codec import RESULTS_REMEMBERED, result_of
from omeda_async.bulk.journal.interface import AGAIN, SETTLED, Kept, Known
from omeda_async.outcomes import OutcomeStatus

_KEPT: Final = attrgetter("kept")


@attrs.define
class InHand:
    """The items that are written down as about to be sent, and have no result yet.

    Args:
        note_repeats: Called with items that repeat a record further up, and with the result of that.
    """

    _note_repeats: Callable[[Sequence[Item], Result[Any]], None]
    records: dict[Item, int] = attrs.field(factory=dict)
    _repeating: set[Item] = attrs.field(factory=set)
    """Items that repeat a record further up, and are sent all the same."""
    _taken: set[int] = attrs.field(factory=set)
    """Records of earlier runs that an item is under way for."""
    # Records of one request share their receipt again.
    _result: Callable[[Kept], Result[Any]] = attrs.field(factory=lambda: lru_cache(RESULTS_REMEMBERED)(result_of))

    def settled(self, items: Sequence[Item], found: Sequence[Known]) -> list[Closed]:
        """Return the items that earlier runs have settled, with their results, without those that have moved up."""
        given: list[Closed] = []
        for kept, group in groupby(found, _KEPT):
            if kept is None or kept.status not in SETTLED:
                continue
            result, these = self._result(kept), [*group]
            if repeats := [items[one.place] for one in these if one.position < items[one.place].position]:
                self._note_repeats(repeats, result)
            if closed := [items[one.place] for one in these if one.position <= items[one.place].position]:
                given.append((closed, result))
        return given

    def begin(self, items: Sequence[Item], records: Sequence[int], known: Sequence[Known | None]) -> list[Closed]:
        """Take items that are written down now; return those that are settled, with their results.

        Of each it is known what earlier runs have noted; nothing at all where that is empty.
        """
        if not known:
            self.records.update(zip(items, records, strict=True))
            return []
        settled: dict[int, tuple[list[Item], Result[Any]]] = {}
        for item, record, one in zip(items, records, known, strict=True):
            if one is None:
                self.records[item] = record
            elif (result := self._take(one, item)) is not None:
                settled.setdefault(id(result), ([], result))[0].append(item)
        return list(settled.values())

    def _take(self, known: Known, item: Item) -> Result[Any] | None:
        """Take an item that is known; return its result if it is settled."""
        repeats = known.position < item.position  # a record that has itself moved up in the input does not
        if known.kept is not None and known.kept.status in SETTLED:
            result = self._result(known.kept)
            if repeats:
                self._note_repeats([item], result)
            return result
        item.doubtful = known.kept is None or known.kept.status not in AGAIN
        if repeats or known.record in self._taken:
            self._repeating.add(item)
        if known.record not in self._taken:  # else it comes too late to be recognised: the result is that of the first
            self.records[item] = known.record
            self._taken.add(known.record)
        return None

    def close(self, closed: Sequence[Closed]) -> list[tuple[Sequence[int], Result[Any]]]:
        """Let go of items that have a result; return their records with it. What an earlier run settled has none."""
        given: list[tuple[Sequence[int], Result[Any]]] = []
        for items, result in closed:
            if records := [self.records.pop(item) for item in items if item in self.records]:
                given.append((records, result))
                self._taken.difference_update(records)
            if repeating := self._repeating.intersection(items):
                self._repeating -= repeating
                self._note_repeats([*repeating], result)
        return given

    def leave(self, known: Known, item: Item, result: Result[Any]) -> Result[Any]:
        """Take what is known about an item that was never begun; return the result that holds."""
        if known.kept is None:  # a run that was killed had sent it, or was about to
            item.doubtful = True
            standing = still_doubtful(item, result)
        else:
            standing = result if known.kept.status is OutcomeStatus.NOT_SENT else self._result(known.kept)
        if known.position < item.position or item in self._repeating:
            self._repeating.discard(item)
            self._note_repeats([item], standing)
        return standing
