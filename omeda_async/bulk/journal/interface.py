"""What keeps journals, in a file or a database, and what it takes and returns. It knows nothing of runs."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

import attrs

from omeda_async.outcomes import OutcomeStatus

if TYPE_CHECKING:
    from omeda_async.bulk.journal.identity import Identity
    from omeda_async.bulk.journal.status import JournalRecord, JournalStatus

AGAIN: Final = frozenset({OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT})
"""What a later run sends as if it were new."""
UNSETTLED: Final = AGAIN | {OutcomeStatus.UNKNOWN}
"""What a later run goes on with, besides what may have been sent with no result noted."""
SETTLED: Final = frozenset(OutcomeStatus) - UNSETTLED
"""What a later run reports again, and does not send."""


class Kept(NamedTuple):
    """What is kept of a result."""

    status: OutcomeStatus
    attempts: int
    stored: str
    """Receipt, error and doubts, as JSON."""


class Entries(NamedTuple):
    """Records as a journal keeps them."""

    positions: Sequence[int] = ()
    fingerprints: bytes = b""
    """16 bytes each, one after the other."""
    json: str = "[]"
    """An array of ``[position, record]``; a record that JSON cannot hold, or that is not to be kept, is null."""
    sums: bytes = b""
    """For each record the CRC-32 of its fingerprint and that of its text in ``json``, 4 bytes each."""
    refused_as: Sequence[int] = ()
    """The ``known_by`` that each would have as a refused record; empty where no earlier run has refused any."""

    @classmethod
    def joined(cls, parts: Sequence["Entries"]) -> "Entries":
        """Return several as one."""
        positions = [position for one in parts for position in one.positions]
        json = ",".join([one.json[1:-1] for one in parts])
        prints = b"".join([one.fingerprints for one in parts])
        refused_as = [known_by for one in parts for known_by in one.refused_as]
        return cls(positions, prints, f"[{json}]", b"".join([one.sums for one in parts]), refused_as)


class Known(NamedTuple):
    """What an earlier run has written about a record."""

    place: int
    """Where it stands among the entries of the group, from 0."""
    record: int
    """Its number in the journal."""
    position: int
    """Its place in the input of that run."""
    kept: Kept | None
    """None: it was about to be sent, and no result was noted."""

    @property
    def is_settled(self) -> bool:
        """Whether a later run reports it again, and does not send it."""
        return self.kept is not None and self.kept.status in SETTLED


Find: TypeAlias = Callable[[bytes], Sequence[Known]]
"""Returns what earlier runs have written of records, by their fingerprints of 16 bytes each; it blocks."""


class Aside(NamedTuple):
    """A record that is counted and never sent."""

    position: int
    kept: Kept
    entry: str | None
    """``[position, record]`` as JSON where it was refused locally; None where it repeats an earlier one."""
    known_by: int
    """A number that equal records share, in any run. As often as one run has met it, so many records count."""


@attrs.define
class WriteGroup:
    """What is written in one transaction, in this order."""

    results: list[tuple[Sequence[int], Kept]] = attrs.field(factory=list)
    """What became of records, by their numbers; it replaces what an earlier run has noted of them."""
    entries: Entries = attrs.field(factory=Entries)
    """Records, written where they are new. A known one that has moved up in the input gets its new position."""
    sent: int = 0
    """How many of the entries, from the first on, are about to be sent: known ones lose a result out of ``AGAIN``."""
    left: Sequence[Kept] = ()
    """What became of each of the other entries; it counts for those that are new."""
    asides: list[Aside] = attrs.field(factory=list)
    requests: int | None = None
    """The requests of the run so far; None where that is not to be noted."""
    recent: int | None = None
    """The requests within the lookback; None likewise."""

    def again(self, known: Sequence[Known]) -> list[int]:
        """Return the known records that lose their results, as they are about to be sent again."""
        return [one.record for one in known if one.place < self.sent and one.kept and one.kept.status in AGAIN]

    def left_new(self, records: Sequence[int], known: Sequence[Known]) -> list[tuple[Sequence[int], Kept]]:
        """Return what became of the entries that are new and are not sent, with the number of each."""
        stand = {one.place for one in known}
        left = enumerate(self.left, self.sent)
        return [([records[place]], kept) for place, kept in left if place not in stand]


class Written(NamedTuple):
    """What a backend returns of a group it has written."""

    records: Sequence[int] = ()
    """The numbers of the entries: new ones have higher ones than all before, in their order."""
    known: Sequence[Known] = ()


class Opened(NamedTuple):
    """What a backend returns of a journal that it has opened."""

    salt: bytes | None
    """What its fingerprints are salted with; None where it keeps records whole."""
    requests: int
    """The requests that earlier runs made lately."""
    seconds_ago: float
    """When the last of these runs was seen."""
    records: int
    """How many records of earlier runs it holds, or a little fewer."""
    has_refused: bool = False
    """Whether it holds records that an earlier run refused."""


def ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and the last of numbers that follow on one another."""
    numbers = sorted(numbers)
    if numbers[-1] - numbers[0] + 1 == len(numbers):
        return [(numbers[0], numbers[-1])]
    breaks = [place for place, (one, other) in enumerate(pairwise(numbers), 1) if other != one + 1]
    return [(numbers[begin], numbers[end - 1]) for begin, end in pairwise([0, *breaks, len(numbers)])]


class Backend(Protocol):
    """Keeps the journal of one run.

    Each method blocks: it is called in a thread of the journal's own, one thing after the other. It raises a
    JournalError where it cannot do what it is to do; nothing of it is done then.
    """

    place: str
    """Where it is kept, in words of the user's; no secret."""

    @property
    def lapsed(self) -> Callable[[], bool] | None:
        """Tells, right before a request is sent, that nothing may be sent any more; None where that never happens."""

    def open(self) -> Opened:
        """Open or create the journal, unless it is in use or another run's, and note that a run begins."""

    def write(self, group: WriteGroup) -> Written:
        """Write a group, durably, and return what earlier runs have noted of its entries."""

    def find(self, fingerprints: bytes) -> Sequence[Known]:
        """Return what earlier runs have noted of records, where nothing can be written."""

    def end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> None:
        """Note how the run ended.

        Args:
            requests: Made by the run.
            counts: Its outcomes, by status.
            cause: Why it ended before its input did; None: it has met all of it.
        """

    def close(self) -> None:
        """Close it, for others to open; nothing happens where it is not open."""


class Reader(Protocol):
    """Reads a journal, also while a run writes it, and never changes it.

    Each method blocks, and raises a JournalError where the journal cannot be read or is none.
    """

    def status(self) -> "JournalStatus":
        """Return what it holds."""

    def not_done(self, statuses: Collection[OutcomeStatus]) -> Iterator["JournalRecord"]:
        """Return the records that ended so, in the order of the input; repeats of one are left out."""

    def settled(self, identity: "Identity") -> AbstractContextManager[tuple[bytes | None, Find]]:
        """Open it, unless it is another run's; return the salt of its fingerprints, and what finds records in it."""
