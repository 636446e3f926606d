"""What keeps an outbox, in a file or a database, and what it is given and tells: it sends nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import attrs
import orjson

from omeda_async.bulk.journal.interface import Kept
from omeda_async.errors import OutboxError

if TYPE_CHECKING:
    from omeda_async.bulk.outbox.status import OutboxStatus


class LeaseLost(Exception):
    """Another process delivers now: what this one was to write about deliveries is not written."""


@attrs.frozen(kw_only=True)
class Identity:
    """Whose outbox it is: another's is refused."""

    provider: str
    operation: str
    base_url: str
    scope: Mapping[str, Any]
    """What holds for every record, such as the client."""
    pii: str

    def kept(self) -> dict[str, Any]:
        """Return it as it is kept."""
        named = {"provider": self.provider, "operation": self.operation, "base_url": self.base_url}
        return {**named, "pii": self.pii, **self.scope}

    def check(self, found: Mapping[str, Any], place: str, remedy: str) -> None:
        """Check that an outbox is this one's.

        Raises:
            OutboxError: It is another's.
        """
        own = orjson.loads(orjson.dumps(self.kept()))
        for name in [*own, *found]:
            if own.get(name) != found.get(name):
                raise OutboxError(
                    f"the outbox {place} is another one: {name} is {found.get(name)!r} there and {own.get(name)!r} "
                    f"here; {remedy}"
                )


class Opened(NamedTuple):
    """What a store tells of an outbox that it has opened."""

    name: str
    """Tells its tickets from those of others."""
    salt: bytes | None
    """What fingerprints are salted with; None where records are kept."""


class NewRecord(NamedTuple):
    """A record to be put."""

    fingerprint: bytes
    """The same for records that ask for the same thing."""
    key: str | None
    """The caller's key, as JSON."""
    record: str
    """As JSON."""


class Put(NamedTuple):
    """What became of a record that was put."""

    number: int
    """Its own; or that of the record with the same key that is under way."""
    differs: bool = False
    """Whether that one asks for something else: then nothing was put."""


class Claimed(NamedTuple):
    """A record that is about to be sent; that it is has been written down."""

    number: int
    key: str | None
    record: str
    attempts: int
    """Requests that it took part in so far."""
    tries: int
    """How often it was claimed in vain."""
    doubtful: bool
    """Whether an attempt may have been carried out."""
    age: float
    """Seconds since it was put."""


class Ended(NamedTuple):
    """What a claimed record has ended with."""

    number: int
    kept: Kept
    again_in: float | None
    """Seconds after which it is to be tried again; None: this is its outcome."""
    tries: int
    doubtful: bool
    told: bool
    """Whether nobody has to be told the outcome."""


class Found(NamedTuple):
    """A record that is in the outbox."""

    number: int
    key: str | None
    record: str | None
    """None where only a hash is kept."""
    kept: Kept | None
    """Its outcome; None while it is under way."""


class Store(Protocol):
    """Keeps an outbox.

    Each method but ``put_within`` blocks: it is called in a thread of the outbox's own, one thing after the other. What
    it writes is written durably, in one transaction, when it returns. It raises an OutboxError where it cannot do what
    it is to do; nothing of it is done then, unless the error's ``sent`` is True: then it may be done. Times are read
    from a clock of the store's, which all processes share.

    Many processes put, one delivers: who holds the lease, whose number (the fence) every write about deliveries names.
    A store of which many may deliver gives each the lease of its own claims.
    """

    two_threads: bool
    """Whether what concerns deliveries, and what does not, may each have a thread of its own.

    The former are ``take``, ``renew``, ``release``, ``next_due``, ``claim``, ``end``, ``untold`` and ``told``.
    """

    def open(self) -> Opened:
        """Open or create it, unless it is another's."""

    def put(self, records: Sequence[NewRecord]) -> Sequence[Put | OutboxError]:
        """Take records in; one whose key is under way already is not taken. An error is of one of them alone."""

    async def put_within(self, record: NewRecord, connection: object) -> Put:
        """Take a record in by a transaction of the caller's, with which it counts or does not.

        Raises:
            ConfigurationError: It is no connection by which this store can be written.
        """

    def take(self, holder: str, seconds: float, attempt: float) -> int | None:
        """Take the lease, if nobody has it; return its fence, which is higher than all before, or None.

        What was about to be sent under an earlier one may have been sent: it is in doubt, and can be claimed again when
        an attempt of that holder can have ended.

        Args:
            holder: Who takes it, for people to read.
            seconds: How long it lasts.
            attempt: Seconds that an attempt of this holder may take.
        """

    def renew(self, fence: int, held_for: float = 0.0) -> bool:
        """Have the lease last for its seconds from now; False where it is another's.

        Args:
            fence: Of the lease.
            held_for: Seconds for which nothing is sent, whatever is due: for who reads the status.
        """

    def release(self, fence: int) -> None:
        """Give the lease back; what is claimed under it and has not ended is in doubt."""

    def next_due(self) -> float | None:
        """Return the seconds until a record can be claimed, 0 where one can now; None where none waits."""

    def claim(self, fence: int, most: int, most_bytes: int) -> Sequence[Claimed]:
        """Note that the records that are due are about to be sent, and return them, the earliest first.

        Raises:
            LeaseLost: Another process delivers.
        """

    def end(self, fence: int, ended: Sequence[Ended]) -> None:
        """Note what claimed records have ended with.

        Raises:
            LeaseLost: Another process delivers; it will find out by itself.
        """

    def find(self, numbers: Iterable[int]) -> Sequence[Found]:
        """Return those that are there."""

    def untold(self, most: int) -> Sequence[Found]:
        """Return records with an outcome that somebody has to be told, the earliest first."""

    def told(self, numbers: Sequence[int]) -> None:
        """Note that the outcomes have been told; where no records are kept, their keys go, too."""

    def prune(self, seconds: float, most: int) -> int:
        """Remove records with an outcome, told, that is older than so many seconds; return how many were.

        Where fewer are than might be, space is let go of, and what has been removed, as far as that disturbs nobody.
        """

    def status(self) -> "OutboxStatus":
        """Return what it holds."""

    def close(self) -> None:
        """Close it; nothing happens where it is not open."""


class Calls(Protocol):
    """Tells what other processes do to an outbox, where that is possible, so that it is seldom polled."""

    @property
    def poll(self) -> float:
        """Seconds after which the outbox has to be polled at the latest, as things are now."""

    def begin(self, name: str, on_call: Callable[[str], None]) -> None:
        """Call something on this loop from now on, with what has happened: one of the words below, or any other.

        Args:
            name: What tells the outbox from others.
            on_call: What is called.
        """

    async def aclose(self) -> None:
        """End it. Cancelling it ends it all the same."""


PUT, ENDED, FREE = "put", "ended", "free"
"""What has happened: a record was put, some have their outcome, the lease was given back."""


@attrs.frozen
class NoCalls:
    """Nothing tells: the outbox has to be polled."""

    poll: float

    def begin(self, name: str, on_call: Callable[[str], None]) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""
