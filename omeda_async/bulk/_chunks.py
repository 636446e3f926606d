"""How batches form: a plain object, by count and bytes."""

from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """What takes some bytes in a request."""

    size: int


T = TypeVar("T", bound=Sized)


class Chunker(Generic[T]):
    """Gathers items into batches of at most so many entries and bytes.

    Args:
        max_entries: Items in a batch at the most.
        max_bytes: Bytes in a batch at the most, by the items' sizes; an item larger than that stands alone.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.items: list[T] = []
        self._bytes = 0

    def feed(self, item: T) -> list[T] | None:
        """Take an item; return the batch that is complete, if one is."""
        full: list[T] | None = None
        if self._bytes + item.size > self.max_bytes and self.items:
            full, self.items, self._bytes = self.items, [], 0
        self.items.append(item)
        self._bytes += item.size
        if full is None and len(self.items) >= self.max_entries:
            full, self.items, self._bytes = self.items, [], 0
        return full

    def flush(self) -> list[T]:
        """Return what has gathered; empty when nothing has."""
        items, self.items, self._bytes = self.items, [], 0
        return items
