"""Which records of a journal the items of a run stand for, and what earlier runs mean for them: pure."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item, still_doubtful
from omeda_async.bulk.journal.codec import result_of
from omeda_async.bulk.journal.interface import AGAIN, SETTLED, Kept, Known
from omeda_async.outcomes import OutcomeStatus

_RESULTS_REMEMBERED: Final = 1000


@attrs.define
class InHand:
    """The items that are written down as about to be sent, and have no result yet.

    Args:
        note_repeat: Called with an item that repeats a record further up, and with the result of that.
    """

    _note_repeat: Callable[[Item, Result[Any]], None]
    _records: dict[Item, int] = attrs.field(factory=dict)
    _repeating: set[Item] = attrs.field(factory=set)
    """Items that repeat a record further up, and are sent all the same."""
    _taken: set[int] = attrs.field(factory=set)
    """Records of earlier runs that an item is under way for."""
    _results: dict[Kept, Result[Any]] = attrs.field(factory=dict)

    def __contains__(self, item: Item) -> bool:
        return item in self._records

    def __len__(self) -> int:
        return len(self._records)

    def begin(self, items: Sequence[Item], records: Sequence[int], known: Sequence[Known | None]) -> list[Closed]:
        """Take items that are written down now; give those that are settled, with their results.

        Args:
            items: The items.
            records: Their records.
            known: What earlier runs have noted of each; empty where that is nothing at all.
        """
        if not known:
            self._records.update(zip(items, records, strict=True))
            return []
        settled: dict[int, tuple[list[Item], Result[Any]]] = {}
        for item, record, one in zip(items, records, known, strict=True):
            if one is None:
                self._records[item] = record
            elif (result := self._take(one, item)) is not None:
                settled.setdefault(id(result), ([], result))[0].append(item)
        return list(settled.values())

    def _take(self, known: Known, item: Item) -> Result[Any] | None:
        """Take an item that is known; give its result if it is settled."""
        repeats = known.position < item.position  # a record that has itself moved up in the input does not
        if known.kept is not None and known.kept.status in SETTLED:
            result = self._result(known.kept)
            if repeats:
                self._note_repeat(item, result)
            return result
        item.doubtful = known.kept is None or known.kept.status not in AGAIN
        if repeats or known.record in self._taken:
            self._repeating.add(item)
        if known.record not in self._taken:  # else it comes too late to be recognised: the result is that of the first
            self._records[item] = known.record
            self._taken.add(known.record)
        return None

    def close(self, items: Sequence[Item], result: Result[Any]) -> list[int]:
        """Let go of items that have a result; give their records. Those an earlier run has settled have none."""
        records = [self._records.pop(item) for item in items if item in self._records]
        if self._taken:
            self._taken.difference_update(records)
        for item in self._repeating.intersection(items) if self._repeating else ():
            self._repeating.discard(item)
            self._note_repeat(item, result)
        return records

    def leave(self, known: Known, item: Item, result: Result[Any]) -> Result[Any]:
        """Take what is known about an item that was never begun; give the result that stands."""
        if known.kept is None:  # a run that was killed had sent it, or was about to
            item.doubtful = True
            standing = still_doubtful(item, result)
        else:
            standing = result if known.kept.status is OutcomeStatus.NOT_SENT else self._result(known.kept)
        if known.position < item.position or item in self._repeating:
            self._repeating.discard(item)
            self._note_repeat(item, standing)
        return standing

    def _result(self, kept: Kept) -> Result[Any]:
        """Return the result of a settled record; records of one request share their receipt again."""
        result = self._results.get(kept)
        if result is None:
            if len(self._results) >= _RESULTS_REMEMBERED:
                self._results.clear()
            result = self._results[kept] = result_of(kept)
        return result
