"""Finding records that ask for what an earlier one asked for."""

from collections.abc import Iterable
from typing import Any

from omeda_async._result import Result
from omeda_async.bulk._item import Item

REPEATS_KEPT = 50_000


class Repeats:
    """Finds records that ask for what an earlier one asked for, among the last 50,000 to 100,000 distinct ones.

    The bound keeps the memory of an endless run flat; what lies further back is sent again, which every operation
    that has a bulk form allows. A journal remembers those of earlier runs, all of them.
    """

    def __init__(self, kept: int = REPEATS_KEPT) -> None:
        self._kept = kept
        self._young: dict[bytes, Item | Result[Any]] = {}
        self._old: dict[bytes, Item | Result[Any]] = {}

    def find(self, item: Item) -> Item | Result[Any] | None:
        """Return the earlier item if it is on its way, its result if it is closed, None if the item is the first."""
        known = self._young.setdefault(item.fingerprint, item)
        if known is not item:
            return known
        earlier = self._old.get(item.fingerprint)
        if earlier is not None:
            self._young[item.fingerprint] = earlier
        return earlier

    def closed(self, items: Iterable[Item], result: Result[Any]) -> None:
        """Keep the result of items for those to come."""
        for item in items:  # also of one that has grown old meanwhile: what is young counts
            self._young[item.fingerprint] = result
        if len(self._young) >= self._kept:
            self._old, self._young = self._young, {}
