"""Temenos Journey Manager: transactions."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, TypeVar, Unpack, overload

import attrs

from omeda_async._account import Account
from omeda_async._single import ClientOptions, SingleOptions, call
from omeda_async.bulk import BulkOptions, BulkRun, Item, OneByOne, Records, SharedOptions
from omeda_async.limits import LimitsView
from omeda_async.providers._cancels import item_of
from omeda_async.providers._pages import Pages
from omeda_async.providers.journey_manager import _operations
from omeda_async.providers.journey_manager._converter import cancel_from
from omeda_async.providers.journey_manager.models import (
    Transaction,
    TransactionCancel,
    TransactionQuery,
    TransactionReceipt,
    TransactionRecord,
)

if TYPE_CHECKING:
    from omeda_async.bulk.shared.run import SharedRun

CancelT = TypeVar("CancelT", bound=str | TransactionCancel | Mapping[Any, Any])
_ALWAYS_SHOWN: Final = ("submitKey", "formStatus")
"""Attributes that are asked for with any others: the key tells what came before."""
CONCURRENCY: Final = 4
"""Calls of a bulk run under way at the most, unless its options say otherwise."""


class JourneyManagerClient:
    """One Journey Manager server and user."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.transactions = Transactions(account)

    @property
    def limits(self) -> LimitsView:
        """What the account's limiter has used, has free, and when the next attempt may go."""
        return self._account.limiter.view()

    def with_options(self, **options: Unpack[ClientOptions]) -> "JourneyManagerClient":
        """Return a client whose calls and runs are made so, on the same session, credentials and limits.

        Args:
            options: ``timeout``, ``deadline`` (seconds), ``headers``, ``priority`` and ``retry``: see
                :class:`ClientOptions`. What is left out stays as it is with this client.

        Raises:
            ConfigurationError: An option is out of range; the message names it.
        """
        return JourneyManagerClient(self._account.with_options(**options))


class Transactions:
    """The transactions the user has access to."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def cancel(
        self,
        submit_key: str | SupportsIndex,
        *,
        reason: str | None = None,
        milestones: str | None = None,
        explain: bool = True,
        **options: Unpack[SingleOptions],
    ) -> TransactionReceipt:
        """Cancel (abandon) a transaction (Journey Manager: POST Cancel Txn).

        Args:
            submit_key: The transaction.
            reason: The abandonment reason; sent when given.
            milestones: A milestone to add; sent when given.
            explain: Query the transaction when the refusal does not say whether it is completed or abandoned.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

        Raises:
            AlreadyDone: It had been abandoned before.
            TooLate: It is completed.
            BadRequest: It is refused otherwise; ``code`` is the server's error key.
            SessionLost: The session has expired, and opening it once more did not help.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.

        Cancelling the task while the response is awaited leaves unknown whether it was carried out.
        """
        params = TransactionCancel(submit_key, reason, milestones)
        return await call(self._account, _operations.CANCEL, params, explain=explain, **options)

    async def query(
        self,
        *,
        submit_key: str | SupportsIndex | None = None,
        form_status: str | None = None,
        attributes: Iterable[str] = (),
        page_size: int = 1000,
        **options: Unpack[SingleOptions],
    ) -> AsyncIterator[Transaction]:
        """Return transactions, page by page as they are asked for; none twice.

        Without ``submit_key`` the server shows saved, opened and assigned ones of the last 14 days only.

        The provider counts pages from the start of the list: where something leaves the list while this goes on, the
        next page skips as many. To change what is listed, collect first, then act.

        Args:
            submit_key: Only this one, whatever its status and age; what a server shows of others is left out.
            form_status: Only those in this status.
            attributes: What to show of each besides its key and status.
            page_size: Transactions in one request, at most 10,000.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

        Raises:
            UnreadableAnswer: A full page shows only what came before, or a page only transactions of another key.
            OmedaAsyncError: See :mod:`omeda_async.errors`; what was given before stands.
        """
        query = TransactionQuery(
            submit_key=submit_key, form_status=form_status, attributes=attributes, fetch_limit=page_size
        )
        if query.attributes and isinstance(query.attributes, tuple):
            others = (name for name in query.attributes if name not in _ALWAYS_SHOWN)
            query = attrs.evolve(query, attributes=(*_ALWAYS_SHOWN, *others))
        pages: Pages[Transaction] = Pages(_operations.QUERY, lambda transaction: transaction.submit_key)
        while True:
            page = await call(self._account, _operations.QUERY, query, **options)
            for transaction in pages.new_on(_operations.rows_asked_for(query, page)):
                yield transaction
            shown = len(page.items)
            # There is no total: a page is the last where it is not full by the server's own word, or empty.
            if not shown or (page.fetch_limit is not None and shown < page.fetch_limit):
                return
            if not pages.go_on(f"the page from {query.fetch_offset} on", shown, page_size):
                return
            query = attrs.evolve(query, fetch_offset=query.fetch_offset + shown)

    @overload
    def cancel_many(
        self,
        records: Records[CancelT],
        *,
        reason: str | None = ...,
        milestones: str | None = ...,
        explain: bool = ...,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[CancelT, TransactionReceipt]: ...

    @overload
    def cancel_many(
        self,
        records: Records[TransactionRecord],
        *,
        reason: str | None = ...,
        milestones: str | None = ...,
        explain: bool = ...,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[TransactionRecord, TransactionReceipt]: ...

    def cancel_many(
        self,
        records: Records[Any],
        *,
        reason: str | None = None,
        milestones: str | None = None,
        explain: bool = True,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[Any, TransactionReceipt]:
        """Cancel many transactions, one request each.

        Args:
            records: Submit keys, mappings or :class:`TransactionCancel`; any iterable or async iterable.
            reason: Why, where a record does not say.
            milestones: A milestone to add, where a record names none.
            explain: Query a transaction when the refusal does not say whether it is completed or abandoned.
            options: See :class:`BulkOptions`.

        Raises:
            ConfigurationError: An option is out of range; the message names it.
            InvalidRecord: The records are no iterable of records. One that is invalid by itself is no error but is
                rejected, as its outcome says.
            TypeError: There is no such option.
        """
        return BulkRun(self._cancels(reason, milestones, explain=explain), records, **options)

    def shared_run(
        self,
        journal: str,
        *,
        reason: str | None = None,
        milestones: str | None = None,
        explain: bool = True,
        **options: Unpack[SharedOptions],
    ) -> "SharedRun[TransactionRecord, TransactionReceipt]":
        """Cancel many transactions, as a run that several processes share: see :class:`SharedRun`.

        Args:
            journal: ``postgresql://host/database?run=NAME``: where it is kept.
            reason: Why, where a record does not say.
            milestones: A milestone to add, where a record names none.
            explain: Query a transaction when the refusal does not say whether it is completed or abandoned.
            options: See :class:`SharedOptions`.

        Raises:
            ConfigurationError: An option is out of range; the message names it.
            TypeError: There is no such option.
        """
        from omeda_async.bulk.shared.run import SharedRun  # noqa: PLC0415 who shares no run loads no psycopg

        return SharedRun(journal, self._cancels(reason, milestones, explain=explain), **options)

    def _cancels(self, reason: str | None, milestones: str | None, *, explain: bool) -> OneByOne:
        def read(raw: Any) -> Item:
            record = cancel_from(raw, reason=reason, milestones=milestones)
            key = record.submit_key if record.key is None else record.key
            return item_of(_operations.CANCEL, raw, record, key=key, target=(record.submit_key,))

        scope = {"reason": reason, "milestones": milestones}
        name = "transactions.cancel_many"
        return OneByOne(self._account, name, _operations.CANCEL, read, CONCURRENCY, explain, scope)
