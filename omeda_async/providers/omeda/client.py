"""Omeda: deployments and opt-outs."""

from collections.abc import Callable
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, Unpack

import attrs

from omeda_async import _clock
from omeda_async._account import Account
from omeda_async._checks import check_flag
from omeda_async._single import SingleOptions, call
from omeda_async.bulk import MAX_WAITING, Batcher, BulkOptions, BulkRun, Item, OneByOne, OutboxOptions, Records
from omeda_async.errors import ConfigurationError
from omeda_async.limits import LimitsView, Priority
from omeda_async.outcomes import Outcome
from omeda_async.providers._cancels import item_of
from omeda_async.providers.omeda import _operations, _requests
from omeda_async.providers.omeda._addresses import Addresses
from omeda_async.providers.omeda._converter import cancel_from
from omeda_async.providers.omeda._opt_outs import MAX_BYTES, MAX_ENTRIES, OptOutWork
from omeda_async.providers.omeda.models import (
    Deployment,
    DeploymentReceipt,
    DeploymentSearch,
    DeploymentStatus,
    DeploymentUpdate,
    OptOut,
    OptOutReceipt,
)
from omeda_async.settings import OmedaSettings

if TYPE_CHECKING:
    from omeda_async.bulk.outbox.outbox import Outbox

CONCURRENCY: Final = 16
"""Cancels of a bulk run under way at the most, unless its options say otherwise."""
LOOK_AHEAD: Final = 1000
"""Records of a bulk run read ahead, to cancel first what is due first."""


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

    def for_brand(self, brand: str) -> "OmedaClient":
        """Return a client for another brand of the same account, on the same session and limits.

        Args:
            brand: The brand's abbreviation.

        Raises:
            ConfigurationError: The brand is empty.
        """
        return OmedaClient(self._account, attrs.evolve(self._settings, brand=brand))


class Deployments:
    """The e-mail deployments of one brand."""

    def __init__(self, account: Account, settings: OmedaSettings) -> None:
        self._account = account
        self._settings = settings

    def _brand(self) -> str:
        if self._settings.brand is None:
            raise ConfigurationError("OmedaSettings.brand (OMEDA_BRAND) is missing: deployments belong to a brand")
        return self._settings.brand

    async def cancel(
        self, track_id: str, *, user_id: str | None = None, **options: Unpack[SingleOptions]
    ) -> DeploymentReceipt:
        """Cancel a deployment. It cannot be sent or edited afterwards (Omeda: Email Deployment Cancel).

        Args:
            track_id: The deployment.
            user_id: In whose name; by default the settings' ``user_id``.
            options: ``priority`` and ``max_wait`` (seconds) at the limiter.

        Raises:
            ConfigurationError: No user is named, neither here nor in the settings.
            AlreadyDone: It had been cancelled before.
            TooLate: It was sent.
            NotAuthorized: The user may not cancel it.
            NotFound: There is no such deployment.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.

        Cancelling the task while the response is awaited leaves unknown whether it was carried out.
        """
        brand = self._brand()
        user = self._settings.user_id if user_id is None else user_id
        if user is None:
            raise ConfigurationError(
                "OmedaSettings.user_id (OMEDA_USER_ID) is missing: a deployment is cancelled in a user's name"
            )
        params = _requests.CancelDeployment(brand=brand, track_id=track_id, user_id=user)
        return await call(self._account, _operations.CANCEL, params, **options)

    async def create(self, deployment: Deployment, **options: Unpack[SingleOptions]) -> DeploymentReceipt:
        """Create a deployment (Omeda: Email Deployment, POST).

        An attempt whose response is lost is never made again: a search by name, owner and date finds out whether the
        deployment was created. If so, its receipt has ``settled=True``.

        Args:
            deployment: What to create.
            options: ``priority`` and ``max_wait`` (seconds) at the limiter.

        Returns:
            The receipt of the new deployment, with its track id.

        Raises:
            InvalidRecord: A field cannot be sent; nothing was.
            BadRequest: Omeda refuses a field; ``fields`` names it.
            AnswerLost: The response was lost, and the search did not find out: the deployment may exist.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.

        Cancelling the task while the response is awaited leaves unknown whether it was carried out.
        """
        params = _requests.CreateDeployment(
            brand=self._brand(), deployment=deployment, now=_clock.utc_now(), addresses=_addresses(self._settings)
        )
        return await call(self._account, _operations.CREATE, params, **options)

    async def clone(
        self, track_id: str, *, deployment_date: datetime, **options: Unpack[SingleOptions]
    ) -> DeploymentReceipt:
        """Clone a deployment for another date (Omeda: Email Deployment Clone). The clone inherits the rest.

        An attempt whose response is lost is never made again. The deployment is looked up instead, and its clone
        searched for by name and owner, also with the "Copy of " that Omeda adds to the name. If exactly one other
        deployment is found, and a look-up shows the new date, it is the clone: its receipt has ``settled=True``.

        Args:
            track_id: The deployment to clone.
            deployment_date: When the clone is to be sent: aware, and in the future. Omeda takes whole minutes: seconds
                are dropped.
            options: ``priority`` and ``max_wait`` (seconds) at the limiter.

        Returns:
            The receipt of the new deployment.

        Raises:
            InvalidRecord: The track id or the date cannot be sent; nothing was.
            NotFound: There is no such deployment.
            BadRequest: Omeda refuses it; ``messages`` says why.
            AnswerLost: The response was lost, and the reads did not find out: the clone may exist.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.

        Cancelling the task while the response is awaited leaves unknown whether it was carried out.
        """
        params = _requests.CloneDeployment(
            brand=self._brand(), track_id=track_id, deployment_date=deployment_date, now=_clock.utc_now()
        )
        return await call(self._account, _operations.CLONE, params, **options)

    async def update(
        self, track_id: str, update: DeploymentUpdate, **options: Unpack[SingleOptions]
    ) -> DeploymentReceipt:
        """Update a deployment (Omeda: Email Deployment, PUT). What is None in the update stays as it is.

        Args:
            track_id: The deployment.
            update: What is to change.
            options: ``priority`` and ``max_wait`` (seconds) at the limiter.

        Raises:
            InvalidRecord: A field cannot be sent; nothing was.
            BadRequest: Omeda refuses a field, or the deployment cannot be edited any more. After a lost response
                ``sent`` is True all the same: that may be so since the attempt before.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.

        Cancelling the task while the response is awaited leaves unknown whether it was carried out.
        """
        params = _requests.UpdateDeployment(
            brand=self._brand(),
            track_id=track_id,
            update=update,
            now=_clock.utc_now(),
            addresses=_addresses(self._settings),
        )
        return await call(self._account, _operations.UPDATE, params, **options)

    async def lookup(self, track_id: str, **options: Unpack[SingleOptions]) -> DeploymentStatus:
        """Look a deployment up (Omeda: Deployment Lookup). One just created may not be found yet.

        Args:
            track_id: The deployment.
            options: ``priority`` and ``max_wait`` (seconds) at the limiter.

        Raises:
            NotFound: There is no such deployment.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.
        """
        params = _requests.LookupDeployment(brand=self._brand(), track_id=track_id)
        return await call(self._account, _operations.LOOKUP, params, **options)

    async def search(self, search: DeploymentSearch, **options: Unpack[SingleOptions]) -> tuple[DeploymentStatus, ...]:
        """Search deployments (Omeda: Deployment Search): at most 200 are given, and there are no pages.

        Args:
            search: What to look for.
            options: ``priority`` and ``max_wait`` (seconds) at the limiter.

        Raises:
            OmedaAsyncError: See :mod:`omeda_async.errors`.
        """
        params = _requests.SearchDeployments(brand=self._brand(), search=search)
        return await call(self._account, _operations.SEARCH, params, **options)

    def cancel_many(
        self,
        records: Records,
        *,
        user_id: str | None = None,
        explain: bool = True,
        **options: Unpack[BulkOptions],
    ) -> BulkRun:
        """Cancel many deployments, one request each; of the next 1,000, the nearest ``scheduled_for`` first.

        Args:
            records: Track ids, mappings or :class:`DeploymentCancel`; any iterable or async iterable.
            user_id: In whose name, where a record names nobody; by default the settings' ``user_id``.
            explain: Look up what an ambiguous refusal meant.
            options: See :class:`BulkOptions`.

        Raises:
            ConfigurationError: The settings name no brand, or an option is out of range; the message names it.
            InvalidRecord: The records are no iterable of records. One that is invalid by itself is no error but is
                rejected, as its outcome says.
            TypeError: There is no such option.
        """
        brand = self._brand()
        user = self._settings.user_id if user_id is None else user_id

        def read(raw: Any) -> Item:
            record = cancel_from(raw, user_id=user)
            params = _requests.CancelDeployment(brand=brand, track_id=record.track_id, user_id=record.user_id)
            key = record.track_id if record.key is None else record.key
            target = brand, record.track_id, record.user_id or ""  # another user may be allowed to
            return item_of(_operations.CANCEL, raw, params, key=key, target=target, due=record.scheduled_for)

        name, scope = "deployments.cancel_many", {"brand": brand}
        work = OneByOne(self._account, name, _operations.CANCEL, read, CONCURRENCY, explain, scope, LOOK_AHEAD)
        return BulkRun(work, records, **options)


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
            options: ``priority`` and ``max_wait`` (seconds) at the limiter.

        Raises:
            InvalidRecord: There are none, or one cannot be sent; nothing was.
            BatchRejected: Omeda refuses one of them, and so all; ``culprits`` names who.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.

        Cancelling the task while the response is awaited leaves unknown whether it was carried out. Submitting the
        same again changes nothing more.
        """
        params = _requests.SubmitOptOuts(client=self._client(), opt_outs=opt_outs, addresses=_addresses(self._settings))
        return await call(self._account, _operations.SUBMIT_OPT_OUTS, params, **options)

    def batcher(
        self,
        *,
        max_delay: float = 0.05,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        priority: Priority = Priority.INTERACTIVE,
        max_waiting: int | None = MAX_WAITING,
        on_outcome: Callable[[Outcome], Any] | None = None,
        allow_odd_addresses: bool | None = None,
    ) -> Batcher:
        """Let many tasks share requests: ``await batcher.add(record)`` gives each its own outcome.

        Args:
            max_delay: Seconds a record waits for others at the most.
            max_entries: Records in one request at the most. Omeda publishes no limit: 500 is ours.
            max_bytes: Bytes of one request at the most; the default is ours too.
            priority: The lane at the limiter.
            max_waiting: Records that may wait for a request at the most: one more raises ``BatcherFull``. None lets
                any number wait.
            on_outcome: Called, on the event loop, with each outcome that nobody awaits any more, as its caller was
                cancelled (a time-out, a client that has gone, a shutdown). It must not block. What it raises is logged,
                with the outcome. None logs such outcomes, addresses masked, and emits an event for each.
            allow_odd_addresses: Whether addresses are sent that nobody can have; by default the settings say so.

        Raises:
            ConfigurationError: An option is out of range; the message names it.
        """
        work = self._work(max_entries, max_bytes, allow_odd_addresses)
        return Batcher(work, max_delay=max_delay, priority=priority, max_waiting=max_waiting, on_outcome=on_outcome)

    def outbox(
        self,
        path: str | PathLike[str],
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        allow_odd_addresses: bool | None = None,
        **options: Unpack[OutboxOptions],
    ) -> "Outbox":
        """Keep opt-outs on disk until they are delivered: what ``put`` has returned for is sent, whatever happens.

        Args:
            path: An SQLite file; made if it does not exist, with mode 0600. Not on a network file system.
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

    def submit_many(
        self,
        records: Records,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        allow_odd_addresses: bool | None = None,
        **options: Unpack[BulkOptions],
    ) -> BulkRun:
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

    def _work(self, max_entries: int, max_bytes: int, allow_odd_addresses: bool | None) -> OptOutWork:
        addresses = _addresses(self._settings, allow_odd_addresses)
        return OptOutWork(self._account, self._client(), addresses, max_entries, max_bytes)


def _addresses(settings: OmedaSettings, insist: bool | None = None) -> Addresses:
    """Return which addresses are taken: of tests and closed networks only where nothing is real."""
    if insist is not None:
        check_flag("allow_odd_addresses", insist)
    if settings.allow_odd_addresses if insist is None else insist:
        return Addresses.ODD
    return Addresses.RESERVED if settings.for_tests else Addresses.REAL
