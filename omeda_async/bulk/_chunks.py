"""How batches form: by count and bytes, and by what is learned of how much a provider takes at a time. Pure.

That is found by bisection. A provider may count entries or bytes: what it refuses bounds both, until a request shows
which of the two it was.
"""

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import Generic, NamedTuple, Protocol, TypeVar

import attrs

PROBE_EVERY = 8
"""One request in so many, the first after each thing learned, tries more than is known to go through."""
FINE_ENOUGH = 64
"""The search ends when what goes through is known to this part of it."""


class Sized(Protocol):
    """What takes some bytes in a request."""

    size: int


class Size(NamedTuple):
    """The size of a request."""

    entries: float
    bytes: float


def size_of(items: Sequence[Sized]) -> Size:
    """Return the size of a request for some items."""
    return Size(len(items), sum(map(_BYTES, items)))


_BYTES = attrgetter("size")
NOTHING, ANY = Size(0, 0), Size(math.inf, math.inf)


@attrs.define
class Sizes:
    """What the requests of a run have shown about the size of one."""

    taken: Size = NOTHING
    """The most entries and the most bytes that have gone through, not necessarily together."""
    refused: list[Size] = attrs.field(factory=list)
    """The smallest that were too large; 0 entries or bytes: it was certainly not for those."""
    _known: tuple[Size, Size] | None = None
    _asked: int = 0

    def took(self, size: Size) -> None:
        """Note a request that went through; what was no larger has not been refused for its size."""
        if size.entries > self.taken.entries or size.bytes > self.taken.bytes:
            self.taken = Size(max(size.entries, self.taken.entries), max(size.bytes, self.taken.bytes))
            refused, self.refused = self.refused, []
            for one in refused:
                self.refuse(one)

    def refuse(self, size: Size) -> None:
        """Note a request that was too large, unless as many entries and as many bytes have gone through."""
        new = Size(
            size.entries if size.entries > self.taken.entries else 0,
            size.bytes if size.bytes > self.taken.bytes else 0,
        )
        if any(new) and not self.too_large(new):
            self.refused = [one for one in self.refused if not _holds(one, new)] + [new]

    def too_large(self, size: Size) -> bool:
        """Whether a request would be refused for its size, as far as is known."""
        return any(_holds(size, one) for one in self.refused)

    def next_limit(self) -> Size:
        """Return what the next request should hold at the most.

        While it is not known whether entries or bytes count, it is bytes: fewer, but longer ones, show which.
        """
        if not self.refused:
            return ANY
        bound = Size(
            min([one.entries for one in self.refused if not one.bytes], default=math.inf),
            min([one.bytes for one in self.refused if one.bytes], default=math.inf),
        )
        self._asked = self._asked + 1 if self._known == (self.taken, bound) else 0
        self._known = self.taken, bound
        probes = self._asked % PROBE_EVERY == 0
        entries = _goal(self.taken.entries, bound.entries, probes=probes)
        return Size(entries, _goal(self.taken.bytes, bound.bytes, probes=probes))


def _holds(size: Size, other: Size) -> bool:
    return size.entries >= other.entries and size.bytes >= other.bytes


def _goal(taken: float, refused: float, *, probes: bool) -> float:
    """Return how much to try between what goes through and what does not."""
    if refused == math.inf:
        return refused
    found = refused - taken <= max(1, taken // FINE_ENOUGH)
    return taken if found or not (probes or 3 * taken < refused) else (taken + refused) // 2


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
        entries, size = self._sizes.next_limit() if self._sizes.refused else ANY
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
