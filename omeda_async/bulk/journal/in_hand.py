"""Which records of a journal the items of a run stand for, and what earlier runs mean for them: pure."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item, still_doubtful
from omeda_async.bulk.journal.codec import result_of
from omeda_async.bulk.journal.interface import AGAIN, SETTLED, Aside, Kept, Known, WriteGroup
from omeda_async.outcomes import OutcomeStatus

_RESULTS_REMEMBERED: Final = 1000


@attrs.define
class InHand:
    """The items that are written down as about to be sent, and have no result yet."""

    _records: dict[Item, int] = attrs.field(factory=dict)
    _repeating: set[Item] = attrs.field(factory=set)
    """Items that repeat a record further up, and are sent all the same."""
    _taken: set[int] = attrs.field(factory=set)
    """Records of earlier runs that an item is under way for, or whose new result is not written yet."""
    _results: dict[Kept, Result[Any]] = attrs.field(factory=dict)

    def __contains__(self, item: Item) -> bool:
        return item in self._records

    def __len__(self) -> int:
        return len(self._records)

    def enter(self, items: Iterable[Item], records: Iterable[int]) -> None:
        """Take items that are written down, with their records."""
        self._records.update(zip(items, records, strict=False))

    def look(
        self, items: Sequence[Item], known: Sequence[Known | None], group: WriteGroup
    ) -> tuple[list[Closed], list[Item]]:
        """Take items that are about to be sent; give those that are settled, with their results, and the new ones.

        Args:
            items: The items.
            known: What is known about each.
            group: Gets what is to be written of those that are known.
        """
        new: list[Item] = []
        settled: dict[Kept, list[Item]] = {}
        alike, last = None, None  # neighbours mostly have the same result, which is judged once
        for item, one in zip(items, known, strict=True):
            if one is None:
                new.append(item)
                continue
            if one.kept is not last:
                last = one.kept
                alike = settled.setdefault(last, []) if last and last.status in SETTLED else None
            if last is None or alike is None:
                self._take(item, one, group)
            else:
                alike.append(item)
            if one.position != item.position:
                self._compare(item, one, group)
        return [(found, self._result(kept)) for kept, found in settled.items()], new

    def _take(self, item: Item, known: Known, group: WriteGroup) -> None:
        """Take an item that is known and not settled."""
        item.doubtful = known.kept is None or known.kept.status not in AGAIN
        if known.record in self._taken:  # it comes too late to be recognised: the result is that of the first
            self._repeating.add(item)
            return
        self._records[item] = known.record
        self._taken.add(known.record)
        if not item.doubtful:
            group.again.append(known.record)

    def _compare(self, item: Item, known: Known, group: WriteGroup) -> None:
        """Note an item that repeats a record further up, or that has itself moved up in the input."""
        if known.position > item.position:
            group.moved.append((item.position, known.record))
        elif known.kept is not None and known.kept.status in SETTLED:
            group.asides.append(Aside(item.position, known.kept, None))
        else:
            self._repeating.add(item)

    def close(self, items: Sequence[Item]) -> tuple[list[int], list[Item]]:
        """Let go of items that have a result; give their records, and those that repeat a record further up.

        Those an earlier run has settled have no record here.
        """
        records = [self._records.pop(item) for item in items if item in self._records]
        repeats = [item for item in items if item in self._repeating] if self._repeating else []
        self._repeating.difference_update(repeats)
        return records, repeats

    def written(self, records: Sequence[int]) -> None:
        """Take note that the results of records are written."""
        if self._taken:
            self._taken.difference_update(records)

    def leave(self, item: Item, result: Result[Any], known: Known) -> tuple[Result[Any], bool]:
        """Give the result that stands of an item that is known and was never begun, and whether it is a repeat."""
        repeats = known.position < item.position or item in self._repeating
        self._repeating.discard(item)
        if known.kept is None:  # a run that was killed had sent it, or was about to
            item.doubtful = True
            return still_doubtful(item, result), repeats
        return result if known.kept.status is OutcomeStatus.NOT_SENT else self._result(known.kept), repeats

    def _result(self, kept: Kept) -> Result[Any]:
        """Return the result of a settled record; records of one request share their receipt again."""
        result = self._results.get(kept)
        if result is None:
            if len(self._results) >= _RESULTS_REMEMBERED:
                self._results.clear()
            result = self._results[kept] = result_of(kept)
        return result
