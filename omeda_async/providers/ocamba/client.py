"""Ocamba Hood: campaigns."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, TypeVar, Unpack, overload

import attrs

from omeda_async._account import Account
from omeda_async._single import ClientOptions, SingleOptions, call
from omeda_async.bulk import BulkOptions, BulkRun, Item, OneByOne, Records, SharedOptions
from omeda_async.limits import LimitsView
from omeda_async.providers._cancels import item_of
from omeda_async.providers._pages import Pages
from omeda_async.providers.ocamba import _operations
from omeda_async.providers.ocamba._converter import cancel_from
from omeda_async.providers.ocamba.models import Campaign, CampaignCancel, CampaignQuery, CampaignReceipt, CampaignRecord

if TYPE_CHECKING:
    from omeda_async.bulk.shared.run import SharedRun

CancelT = TypeVar("CancelT", bound=str | CampaignCancel | Mapping[Any, Any])
CONCURRENCY: Final = 16
"""Calls of a bulk run under way at the most, unless its options say otherwise."""


class OcambaClient:
    """One Ocamba account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.campaigns = Campaigns(account)

    @property
    def limits(self) -> LimitsView:
        """What the account's limiter has used, has free, and when the next attempt may go."""
        return self._account.limiter.view()

    def with_options(self, **options: Unpack[ClientOptions]) -> "OcambaClient":
        """Return a client whose calls and runs are made so, on the same session, credentials and limits.

        Args:
            options: ``timeout``, ``deadline`` (seconds), ``headers``, ``priority`` and ``retry``: see
                :class:`ClientOptions`. What is left out stays as it is with this client.

        Raises:
            ConfigurationError: An option is out of range; the message names it.
        """
        return OcambaClient(self._account.with_options(**options))


class Campaigns:
    """The campaigns of an account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def cancel(
        self,
        campaign_id: str | SupportsIndex,
        *,
        reason: str | None = None,
        explain: bool = True,
        **options: Unpack[SingleOptions],
    ) -> CampaignReceipt:
        """Cancel a campaign for good (Ocamba: Cancel a Campaign). Only a running, scheduled or paused one can be.

        Args:
            campaign_id: The campaign.
            reason: Why; sent when given.
            explain: Read the campaign when the refusal does not say what is the matter.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

        Raises:
            AlreadyDone: It had been cancelled before.
            TooLate: It was sent.
            BadRequest: Ocamba refuses it otherwise, or ``explain`` is off.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.

        Cancelling the task while the response is awaited leaves unknown whether it was carried out.
        """
        params = CampaignCancel(campaign_id, reason)
        return await call(self._account, _operations.CANCEL, params, explain=explain, **options)

    async def get(self, campaign_id: str | SupportsIndex, **options: Unpack[SingleOptions]) -> Campaign:
        """Read a campaign.

        Args:
            campaign_id: The campaign.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

        Raises:
            NotFound: There is no such campaign.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.
        """
        return await call(self._account, _operations.GET, _operations.GetCampaign(campaign_id=campaign_id), **options)

    async def list(
        self,
        *,
        statuses: Iterable[str] = (),
        search: str | None = None,
        page_size: int = 50,
        **options: Unpack[SingleOptions],
    ) -> AsyncIterator[Campaign]:
        """Return campaigns, oldest first, page by page as they are asked for; none twice.

        The provider counts pages from the start of the list: where something leaves the list while this goes on, the
        next page skips as many. To change what is listed, collect first, then act.

        Args:
            statuses: Only campaigns in one of these; filtered by the provider, and again here.
            search: A text the provider searches for.
            page_size: Campaigns in one request.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

        Raises:
            UnreadableAnswer: A full page shows only what came before, and the total says that there is more.
            OmedaAsyncError: See :mod:`omeda_async.errors`; what was given before stands.
        """
        query = CampaignQuery(statuses=statuses, search=search, page_size=page_size)
        wanted = {status.casefold() for status in query.statuses}
        pages: Pages[Campaign] = Pages(_operations.LIST, lambda campaign: campaign.id)
        while True:
            page = await call(self._account, _operations.LIST, query, **options)
            for campaign in pages.new_on(page.items):
                if not wanted or (campaign.status or "").casefold() in wanted:
                    yield campaign
            shown = len(page.items)
            if not shown or (page.total is not None and len(pages.seen) >= page.total):
                return
            if not pages.go_on(f"page {query.page}", shown, query.page_size):
                return
            query = _page_after(query, shown)

    @overload
    def cancel_many(
        self,
        records: Records[CancelT],
        *,
        reason: str | None = ...,
        explain: bool = ...,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[CancelT, CampaignReceipt]: ...

    @overload
    def cancel_many(
        self,
        records: Records[CampaignRecord],
        *,
        reason: str | None = ...,
        explain: bool = ...,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[CampaignRecord, CampaignReceipt]: ...

    def cancel_many(
        self,
        records: Records[Any],
        *,
        reason: str | None = None,
        explain: bool = True,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[Any, CampaignReceipt]:
        """Cancel many campaigns, one request each, within 10 per second and 150 per minute.

        Args:
            records: Campaign ids, mappings or :class:`CampaignCancel`; any iterable or async iterable.
            reason: Why, where a record does not say.
            explain: Read a campaign when the refusal does not say what is the matter.
            options: See :class:`BulkOptions`.

        Raises:
            ConfigurationError: An option is out of range; the message names it.
            InvalidRecord: The records are no iterable of records. One that is invalid by itself is no error but is
                rejected, as its outcome says.
            TypeError: There is no such option.
        """
        return BulkRun(self._cancels(reason, explain=explain), records, **options)

    def shared_run(
        self,
        journal: str,
        *,
        reason: str | None = None,
        explain: bool = True,
        **options: Unpack[SharedOptions],
    ) -> "SharedRun[CampaignRecord, CampaignReceipt]":
        """Cancel many campaigns, as a run that several processes share: see :class:`SharedRun`.

        Args:
            journal: ``postgresql://host/database?run=NAME``: where it is kept.
            reason: Why, where a record does not say.
            explain: Read a campaign when the refusal does not say what is the matter.
            options: See :class:`SharedOptions`.

        Raises:
            ConfigurationError: An option is out of range; the message names it.
            TypeError: There is no such option.
        """
        from omeda_async.bulk.shared.run import SharedRun  # noqa: PLC0415 who shares no run loads no psycopg

        return SharedRun(journal, self._cancels(reason, explain=explain), **options)

    def _cancels(self, reason: str | None, *, explain: bool) -> OneByOne:
        def read(raw: Any) -> Item:
            record = cancel_from(raw, reason=reason)
            key = record.campaign_id if record.key is None else record.key
            return item_of(_operations.CANCEL, raw, record, key=key, target=(record.campaign_id,))

        name, scope = "campaigns.cancel_many", {"reason": reason}
        return OneByOne(self._account, name, _operations.CANCEL, read, CONCURRENCY, explain, scope)


def _page_after(query: CampaignQuery, shown: int) -> CampaignQuery:
    """Return the query for the page after one that showed so many campaigns.

    The largest page size is not published: if the first page is smaller than asked for, so are the others. With that
    size in the query, the second page begins where the first one ended, by whichever size the provider counts.
    """
    size = min(query.page_size, shown) if query.page == 1 else query.page_size
    return attrs.evolve(query, page=query.page + 1, page_size=size)
