"""An outbox as the caller sees it: put, and ask for the outcome."""

import asyncio
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, Self

import attrs
import orjson

from omeda_async import _clock
from omeda_async._checks import check_duration, check_whole
from omeda_async._generic import Receipt_co, Record
from omeda_async.bulk._job import Work
from omeda_async.bulk._options import OutboxSettings
from omeda_async.bulk._reader import read_item
from omeda_async.bulk.journal.codec import Codec, texts_of
from omeda_async.bulk.outbox.delivery import PRUNED_AT_ONCE, Delivery
from omeda_async.bulk.outbox.interface import ENDED, PUT, Calls, NewRecord, Store
from omeda_async.bulk.outbox.keeper import Keeper
from omeda_async.bulk.outbox.outcomes import Waiters
from omeda_async.bulk.outbox.status import OutboxStatus
from omeda_async.errors import ClosedError, InvalidRecord, OutboxError, OutcomePending
from omeda_async.outcomes import Outcome

CLOSE_TIMEOUT: Final = 30.0
LONGEST_KEY: Final = 2000
"""Bytes, as it is kept: no index of PostgreSQL takes more than 2,700, and with one record it would refuse others."""


class Outbox(Generic[Record, Receipt_co]):
    """Keeps records on disk until they are delivered. Use it with ``async with``.

    What :meth:`put` has returned for is on disk, and is sent by this process or the next one that opens the outbox.
    Many processes may have it open and put; one of them delivers.

    Args:
        work: How records are read when they are put.
        sending: How they are read and sent when they are delivered.
        store: Where they are kept.
        settings: How they are delivered.
        calls: Who tells of what other processes do to it.

    Raises:
        ConfigurationError: An option is out of range; the message names it.
    """

    def __init__(self, work: Work, sending: Work, store: Store, *, settings: OutboxSettings, calls: Calls) -> None:
        check_whole("max_entries", work.max_entries)
        check_whole("max_bytes", work.max_bytes)
        self._work = work
        self._sending = sending
        self._keeper = Keeper(store)
        self._settings = settings
        self._calls = calls
        self._waiters = Waiters(self._keeper, calls)
        self._codec = Codec()
        self._name: str | None = None
        self._was_opened = False
        self._delivery: Delivery | None = None
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        opened = self._delivery is not None and self._closing is None
        return f"<{type(self).__name__} {self._work.name}: {'open' if opened else 'not open'}>"

    async def __aenter__(self) -> Self:
        """Open the outbox, and begin to deliver what is in it.

        Raises:
            OutboxError: It cannot be used: damaged, of somebody else, read-only, no outbox.
            ClosedError: The session manager is closed, or the outbox was opened before.
        """
        if self._was_opened:
            raise ClosedError("the outbox was opened before; make a new one")
        self._was_opened = True
        account = self._work.account
        account.transport.session()
        account.activity.add_run(self)
        opened = await self._keeper.open()
        self._name, self._codec = opened.name, Codec(opened.salt)
        self._delivery = Delivery(
            self._sending,
            self._keeper,
            codec=self._codec,
            settings=self._settings,
            waiters=self._waiters,
            calls=self._calls,
        )
        self._calls.begin(opened.name, partial(self._called, self._delivery))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, timeout: float = CLOSE_TIMEOUT) -> None:  # noqa: ASYNC109 a grace, not a time-out of ours
        """Take nothing more, and begin no new request. What has not been sent stays on disk, for whoever opens it next.

        Args:
            timeout: Seconds that requests under way, and the callback, may take.

        Raises:
            ConfigurationError: ``timeout`` is out of range.

        Cancelling it breaks these off; what they have shown by then is written down all the same.
        """
        check_duration("timeout", timeout, zero=True)
        if self._delivery is None:
            return
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(self._delivery, timeout), name="omeda_async outbox, close")
        try:
            await asyncio.shield(self._closing)
        except asyncio.CancelledError:
            if not self._closing.done():
                self._delivery.hurry()
                await asyncio.wait({self._closing}, timeout=CLOSE_TIMEOUT)
            raise

    async def put(self, record: Record, *, key: str | int | None = None, connection: object = None) -> str:
        """Put a record on disk, to be delivered; return its ticket. It returns once a loss of power cannot undo it.

        Or put it by a connection of the caller's, inside a transaction of the caller's: then it is delivered when that
        is committed, and is not there when that is rolled back.

        A key names what the record is about. While a record with a key is under way, putting the same record with the
        same key again gives the same ticket; once it has its outcome, the same is put and sent anew.

        Args:
            record: An opt-out, or a mapping of its fields.
            key: The caller's name for it, which its outcome carries; by default the record's own ``key``.
            connection: A connection to the database of an outbox in PostgreSQL, in a transaction: psycopg's
                ``AsyncConnection``, or asyncpg's ``Connection``.

        Raises:
            ConfigurationError: That is no such connection, or would commit by itself.
            InvalidRecord: It cannot be sent, or its key is under way for another record. Nothing was put.
            OutboxError: It could not be written; it is not in the outbox, unless the error's ``sent`` is True.
            ClosedError: The outbox is not open, or belongs to another event loop.

        Cancelling it takes the record out, unless it is being written: then it may be in the outbox, and be delivered.
        """
        delivery = self._opened()
        self._work.account.transport.session()  # which refuses another loop's
        new = self._new(record, key)
        put = await (self._keeper.put(new) if connection is None else self._keeper.store.put_within(new, connection))
        if put.differs:
            raise InvalidRecord.of(
                "key",
                "is under way for another record: await the outcome of that one, or give this one another key",
                provider=self._work.account.provider,
                operation=self._work.name,
            )
        if connection is None:
            delivery.wake()
        return f"{put.number}-{self._name}"

    async def outcome(self, ticket: str, *, timeout: float | None = None) -> Outcome[Record | None, Receipt_co]:  # noqa: ASYNC109 an answer, not a cancellation
        """Wait for the outcome of a record, whichever process delivers it, and put it.

        Args:
            ticket: What ``put`` has returned.
            timeout: Seconds to wait at the most; 0 only looks, None waits as long as it takes.

        Raises:
            OutcomePending: There is none yet. The record is safe, and is being delivered: ask again.
            OutboxError: It is no ticket of this outbox, its record was pruned, or the outbox cannot be read.
            ClosedError: The outbox is not open, or was closed meanwhile.

        Cancelling it changes nothing.
        """
        if timeout is not None:
            check_duration("timeout", timeout, zero=True)
        self._opened()
        number = self._number(ticket)
        try:
            if timeout == 0:
                outcome = await self._waiters.look(number)
            else:
                async with asyncio.timeout(timeout):
                    outcome = await self._waiters.outcome(number)
        except TimeoutError:
            outcome = None
        if outcome is None:
            waited = f"after {timeout:g} s" if timeout else "yet"
            raise OutcomePending(f"there is no outcome {waited}; the record is in the outbox, and is being delivered")
        return outcome

    async def status(self) -> OutboxStatus:
        """Return what the outbox holds.

        ``next_due`` is when something goes: not before a hold of the limits has ended, a pause that the provider asked
        for, or the time for which it counts as away. Other processes know these some seconds after they have begun.

        Raises:
            OutboxError: It cannot be read.
            ClosedError: It is not open.
        """
        delivery = self._opened()
        status = await self._keeper.survey()
        if status.next_due is None or not (held_for := delivery.held_for):
            return status
        return attrs.evolve(status, next_due=max(status.next_due, _clock.utc_now() + timedelta(seconds=held_for)))

    async def prune(self, older_than: float) -> int:
        """Remove records whose outcome is older, and has been told; return how many were removed.

        Args:
            older_than: Seconds since the outcome.

        Raises:
            OutboxError: It cannot be written.
            ClosedError: It is not open.

        Cancelling it leaves some.
        """
        check_duration("older_than", older_than, zero=True)
        self._opened()
        pruned, last = 0, PRUNED_AT_ONCE
        while last == PRUNED_AT_ONCE:
            last = await self._keeper.ask(self._keeper.store.prune, older_than, PRUNED_AT_ONCE)
            pruned += last
        return pruned

    async def _close(self, delivery: Delivery, timeout: float) -> None:  # noqa: ASYNC109 the same
        try:
            await self._calls.aclose()
            await delivery.aclose(timeout)
        finally:
            self._waiters.close()
            await self._keeper.close()

    def _called(self, delivery: Delivery, what: str) -> None:
        """Look after what other processes have done, as far as it is this one's to do."""
        if what != PUT and not (what == ENDED and delivery.holds):
            self._waiters.wake()
        if what != ENDED and not (what == PUT and not delivery.holds):
            delivery.wake()

    def _opened(self) -> Delivery:
        if self._delivery is None or self._closing is not None:
            raise ClosedError("the outbox is not open: use it with 'async with'")
        return self._delivery

    def _new(self, record: Any, key: str | int | None) -> NewRecord:
        item = read_item(self._work, record, 0)
        if item.refusal is not None:
            raise item.refusal
        text = texts_of([item])[0].decode()
        if text == "[0,null]":
            raise InvalidRecord.of(None, f"an outbox cannot keep a {type(record).__name__}: give an opt-out or a dict")
        own = item.key if key is None else key
        if own is not None and (not isinstance(own, str | int) or isinstance(own, bool)):
            raise InvalidRecord.of("key", f"must be a text or an integer, not {type(own).__name__}")
        return NewRecord(self._codec.fingerprints([item.fingerprint]), _key_text(own), text)

    def _number(self, ticket: object) -> int:
        number, _, name = ticket.partition("-") if isinstance(ticket, str) else ("", "", "")
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise OutboxError("this is no ticket of an outbox: give what put() has returned")
        if name != self._name:
            raise OutboxError("this ticket is of another outbox")
        return int(number)


def _key_text(key: str | int | None) -> str | None:
    if key is None:
        return None
    try:
        text = orjson.dumps(key)
    except TypeError as error:  # an integer of more than 64 bits, half a surrogate pair
        raise InvalidRecord.of(
            "key", "cannot be kept: give a text of whole characters, or a smaller integer"
        ) from error
    if len(text) > LONGEST_KEY:
        raise InvalidRecord.of("key", f"is too long: {LONGEST_KEY:,} bytes at the most")
    return text.decode()
