"""Omeda: deployments and opt-outs."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import attrs

from omeda_async._account import Account
from omeda_async._single import ClientOptions, SingleOptions, call
from omeda_async.bulk import MAX_WAITING, Batcher, BulkOptions, BulkRun, OutboxOptions, Records, SharedOptions
from omeda_async.errors import ConfigurationError
from omeda_async.limits import LimitsView, Priority
from omeda_async.outcomes import Outcome
from omeda_async.providers.omeda import _operations, _requests
from omeda_async.providers.omeda._addresses import Addresses
from omeda_async.providers.omeda._deployments import Deployments, addresses_of
from omeda_async.providers.omeda._opt_outs import MAX_BYTES, MAX_ENTRIES, OptOutWork
from omeda_async.providers.omeda.models import (
    AnyOptOut,
    OptOut,
    OptOutReceipt,
    OptOutRecord,
)
from omeda_async.settings import OmedaSettings

if TYPE_CHECKING:
    from omeda_async.bulk.outbox.outbox import Outbox
    from omeda_async.bulk.shared.run import SharedRun

__all__ = ["Deployments", "OmedaClient", "OptOuts"]

OptOutT = TypeVar("OptOutT", bound=AnyOptOut | Mapping[Any, Any])


class OmedaClient:
    """One brand and client of an Omeda account."""

    def __init__(self, account: Account, settings: OmedaSettings) -> None:
        self._account = account
        self._settings = settings
        self.deployments = Deployments(account, settings)
        self.opt_outs = OptOuts(account, settings)

    @property
    def limits(self) -> LimitsView:
        """What the account's limiter has used, has free, and when the next attempt may go."""
        return self._account.limiter.view()

    def with_options(self, **options: Unpack[ClientOptions]) -> "OmedaClient":
        """Return a client whose calls and runs are made so, on the same session, credentials and limits.

        Args:
            options: ``timeout``, ``deadline`` (seconds), ``headers``, ``priority`` and ``retry``: see
                :class:`ClientOptions`. What is left out stays as it is with this client.

        Raises:
            ConfigurationError: An option is out of range; the message names it.
        """
        return OmedaClient(self._account.with_options(**options), self._settings)

    def for_brand(self, brand: str) -> "OmedaClient":
        """Return a client for another brand of the same account, on the same session and limits.

        Args:
            brand: The brand's abbreviation.

        Raises:
            ConfigurationError: The brand is empty.
        """
        return OmedaClient(self._account, attrs.evolve(self._settings, brand=brand))


class OptOuts:
    """The opt-out queue of one client."""

    def __init__(self, account: Account, settings: OmedaSettings) -> None:
        self._account = account
        self._settings = settings

    def _client(self) -> str:
        if self._settings.client is None:
            raise ConfigurationError(
                "OmedaSettings.client (OMEDA_CLIENT) is missing: the opt-out queue takes the client, not the brand"
            )
        return self._settings.client

    async def submit(self, *opt_outs: OptOut, **options: Unpack[SingleOptions]) -> OptOutReceipt:
        """Submit opt-outs in exactly one request (Omeda: Email Optout Queue). All are processed, or none.

        Args:
            opt_outs: The opt-outs, of any level each.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

        Raises:
            InvalidRecord: There are none, or one cannot be sent; nothing was.
            BatchRejected: Omeda refuses one of them, and so all; ``culprits`` names who.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.

        Cancelling the task while the response is awaited leaves unknown whether it was carried out. Submitting the
        same again changes nothing more.
        """
        params = _requests.SubmitOptOuts(
            client=self._client(), opt_outs=opt_outs, addresses=addresses_of(self._settings)
        )
        return await call(self._account, _operations.SUBMIT_OPT_OUTS, params, **options)

    def batcher(
        self,
        *,
        max_delay: float = 0.05,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        priority: Priority | None = None,
        max_waiting: int | None = MAX_WAITING,
        on_outcome: Callable[[Outcome[OptOutRecord, OptOutReceipt]], Any] | None = None,
        allow_odd_addresses: bool | None = None,
    ) -> Batcher[OptOutRecord, OptOutReceipt]:
        """Let many tasks share requests: ``await batcher.add(record)`` gives each its own outcome.

        Args:
            max_delay: Seconds a record waits for others at the most.
            max_entries: Records in one request at the most. Omeda publishes no limit: 500 is ours.
            max_bytes: Bytes of one request at the most; the default is ours too.
            priority: The lane at the limiter; by default the client's, which is interactive.
            max_waiting: Records that may wait for a request at the most: one more raises ``BatcherFull``. None lets
                any number wait.
            on_outcome: Called, on the event loop, with each outcome that nobody awaits any more, as its caller was
                cancelled (a time-out, a client that has gone, a shutdown). It must not block. What it raises is logged,
                with the outcome. None logs such outcomes, addresses masked, and emits an event for each.
            allow_odd_addresses: Whether addresses are sent that nobody can have; by default the settings say so.

        Raises:
            ConfigurationError: An option is out of range; the message names it.
        """
        work = attrs.evolve(self._work(max_entries, max_bytes, allow_odd_addresses), name="opt_outs.batcher")
        lane = self._account.priority or Priority.INTERACTIVE if priority is None else priority
        return Batcher(work, max_delay=max_delay, priority=lane, max_waiting=max_waiting, on_outcome=on_outcome)

    def outbox(
        self,
        path: str | PathLike[str],
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        allow_odd_addresses: bool | None = None,
        **options: Unpack[OutboxOptions],
    ) -> "Outbox[OptOutRecord, OptOutReceipt]":
        """Keep opt-outs on disk until they are delivered: what ``put`` has returned for is sent, whatever happens.

        Args:
            path: An SQLite file; made if it does not exist, with mode 0600. Not on a network file system. Or
                ``postgresql://host/database?outbox=NAME``, for several hosts.
            max_entries: Records in one request at the most. Omeda publishes no limit: 500 is ours.
            max_bytes: Bytes of one request at the most; the default is ours too.
            allow_odd_addresses: Whether addresses are taken that nobody can have; by default the settings say so.
            options: See :class:`OutboxOptions`.

        Raises:
            ConfigurationError: The settings name no client, or an option is out of range; the message names it.
            TypeError: There is no such option.
        """
        from omeda_async.bulk.outbox.place import outbox_at  # noqa: PLC0415 who has no outbox loads no SQLite

        work = attrs.evolve(self._work(max_entries, max_bytes, allow_odd_addresses), name="opt_outs.outbox")
        sending = attrs.evolve(work, addresses=Addresses.ODD)  # what has been taken in is sent
        return outbox_at(path, work, sending, **options)

    @overload
    def submit_many(
        self,
        records: Records[OptOutT],
        *,
        max_entries: int = ...,
        max_bytes: int = ...,
        allow_odd_addresses: bool | None = ...,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[OptOutT, OptOutReceipt]: ...

    @overload
    def submit_many(  # type: ignore[overload-cannot-match]  # it does: mypy finds no OptOutT for a list of both
        self,
        records: Records[OptOutRecord],
        *,
        max_entries: int = ...,
        max_bytes: int = ...,
        allow_odd_addresses: bool | None = ...,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[OptOutRecord, OptOutReceipt]: ...

    def submit_many(
        self,
        records: Records[Any],
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        allow_odd_addresses: bool | None = None,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[Any, OptOutReceipt]:
        """Submit any number of opt-outs, many to a request. Of a refused request, the culprits are isolated.

        Args:
            records: Opt-outs, or mappings of their fields; any iterable or async iterable.
            max_entries: Records in one request at the most. Omeda publishes no limit: 500 is ours.
            max_bytes: Bytes of one request at the most; the default is ours too.
            allow_odd_addresses: Whether addresses are sent that nobody can have; by default the settings say so.
            options: See :class:`BulkOptions`.

        Raises:
            ConfigurationError: The settings name no client, or an option is out of range; the message names it.
            InvalidRecord: The records are no iterable of records. One that is invalid by itself is no error but is
                rejected, as its outcome says.
            TypeError: There is no such option.
        """
        return BulkRun(self._work(max_entries, max_bytes, allow_odd_addresses), records, **options)

    def shared_run(
        self,
        journal: str,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        allow_odd_addresses: bool | None = None,
        **options: Unpack[SharedOptions],
    ) -> "SharedRun[OptOutRecord, OptOutReceipt]":
        """Submit any number of opt-outs, as a run that several processes share: see :class:`SharedRun`.

        Args:
            journal: ``postgresql://host/database?run=NAME``: where it is kept.
            max_entries: Records in one request at the most. Omeda publishes no limit: 500 is ours.
            max_bytes: Bytes of one request at the most; the default is ours too.
            allow_odd_addresses: Whether addresses are sent that nobody can have; by default the settings say so.
            options: See :class:`SharedOptions`.

        Raises:
            ConfigurationError: The settings name no client, or an option is out of range; the message names it.
            TypeError: There is no such option.
        """
        from omeda_async.bulk.shared.run import SharedRun  # noqa: PLC0415 who shares no run loads no psycopg

        return SharedRun(journal, self._work(max_entries, max_bytes, allow_odd_addresses), **options)

    def _work(self, max_entries: int, max_bytes: int, allow_odd_addresses: bool | None) -> OptOutWork:
        addresses = addresses_of(self._settings, allow_odd_addresses)
        return OptOutWork(self._account, self._client(), addresses, max_entries, max_bytes)
