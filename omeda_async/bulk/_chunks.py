"""How batches form: a plain object, by count and bytes."""

from typing import Generic, Protocol, TypeVar

from omeda_async.bulk._sizes import Sizes


class Sized(Protocol):
    """What takes some bytes in a request."""

    size: int


T = TypeVar("T", bound=Sized)


class Chunker(Generic[T]):
    """Gathers items into batches of at most so many entries and bytes.

    Args:
        max_entries: Items in a batch at the most.
        max_bytes: Bytes in a batch at the most, by the items' sizes; an item larger than that stands alone.
        sizes: What the requests before have shown: each batch is begun with that in mind.
    """

    def __init__(self, max_entries: int, max_bytes: int, sizes: Sizes | None = None) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.items: list[T] = []
        self._sizes = sizes or Sizes()
        self._begin()

    def _begin(self) -> list[T]:
        """Begin a batch, and return the one before."""
        before, self.items, self._bytes = self.items, [], 0
        entries, size = self._sizes.next_limit()
        self._most, self._most_bytes = min(self.max_entries, entries), min(self.max_bytes, size)
        return before

    def feed(self, item: T) -> list[T] | None:
        """Take an item; return the batch that is complete, if one is."""
        full: list[T] | None = None
        if self._bytes + item.size > self._most_bytes and self.items:
            full = self._begin()
        self.items.append(item)
        self._bytes += item.size
        if full is None and len(self.items) >= self._most:
            full = self._begin()
        return full

    def flush(self) -> list[T]:
        """Return what has gathered; empty when nothing has."""
        return self._begin()
