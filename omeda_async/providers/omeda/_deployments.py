"""Omeda: the deployments of a brand."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, TypeVar, Unpack, overload

from omeda_async import _clock
from omeda_async._account import Account
from omeda_async._checks import check_flag
from omeda_async._single import SingleOptions, call
from omeda_async.bulk import BulkOptions, BulkRun, Item, OneByOne, Records, SharedOptions
from omeda_async.errors import ConfigurationError
from omeda_async.providers._cancels import item_of
from omeda_async.providers._models import to_id
from omeda_async.providers.omeda import _operations, _requests
from omeda_async.providers.omeda._addresses import Addresses
from omeda_async.providers.omeda._converter import cancel_from
from omeda_async.providers.omeda.models import (
    Deployment,
    DeploymentCancel,
    DeploymentReceipt,
    DeploymentRecord,
    DeploymentSearch,
    DeploymentStatus,
    DeploymentUpdate,
)
from omeda_async.settings import OmedaSettings

if TYPE_CHECKING:
    from omeda_async.bulk.shared.run import SharedRun

CancelT = TypeVar("CancelT", bound=str | DeploymentCancel | Mapping[Any, Any])
CONCURRENCY: Final = 16
"""Cancels of a bulk run under way at the most, unless its options say otherwise."""
LOOK_AHEAD: Final = 1000
"""Records of a bulk run read ahead, to cancel first what is due first."""


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
        self, track_id: str | SupportsIndex, *, user_id: str | None = None, **options: Unpack[SingleOptions]
    ) -> DeploymentReceipt:
        """Cancel a deployment. It cannot be sent or edited afterwards (Omeda: Email Deployment Cancel).

        Args:
            track_id: The deployment.
            user_id: In whose name; by default the settings' ``user_id``.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

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
        params = _requests.CancelDeployment(brand=brand, track_id=to_id(track_id), user_id=user)
        return await call(self._account, _operations.CANCEL, params, **options)

    async def create(self, deployment: Deployment, **options: Unpack[SingleOptions]) -> DeploymentReceipt:
        """Create a deployment (Omeda: Email Deployment, POST).

        An attempt whose response is lost is never made again: a search by name, owner and date finds out whether the
        deployment was created. If so, its receipt has ``settled=True``.

        Args:
            deployment: What to create.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

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
            brand=self._brand(), deployment=deployment, now=_clock.utc_now(), addresses=addresses_of(self._settings)
        )
        return await call(self._account, _operations.CREATE, params, **options)

    async def clone(
        self, track_id: str | SupportsIndex, *, deployment_date: datetime, **options: Unpack[SingleOptions]
    ) -> DeploymentReceipt:
        """Clone a deployment for another date (Omeda: Email Deployment Clone). The clone inherits the rest.

        An attempt whose response is lost is never made again. The deployment is looked up instead, and its clone
        searched for by name and owner, also with the "Copy of " that Omeda adds to the name. If exactly one other
        deployment is found, and a look-up shows the new date, it is the clone: its receipt has ``settled=True``.

        Args:
            track_id: The deployment to clone.
            deployment_date: When the clone is to be sent: aware, and in the future. Omeda takes whole minutes: seconds
                are dropped.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

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
        self, track_id: str | SupportsIndex, update: DeploymentUpdate, **options: Unpack[SingleOptions]
    ) -> DeploymentReceipt:
        """Update a deployment (Omeda: Email Deployment, PUT). What is None in the update stays as it is.

        Args:
            track_id: The deployment.
            update: What is to change.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

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
            addresses=addresses_of(self._settings),
        )
        return await call(self._account, _operations.UPDATE, params, **options)

    async def lookup(self, track_id: str | SupportsIndex, **options: Unpack[SingleOptions]) -> DeploymentStatus:
        """Look a deployment up (Omeda: Deployment Lookup). One just created may not be found yet.

        Args:
            track_id: The deployment.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

        Raises:
            NotFound: There is no such deployment.
            UnreadableAnswer: The answer shows another deployment, time and again.
            OmedaAsyncError: Any other; see :mod:`omeda_async.errors`.
        """
        params = _requests.LookupDeployment(brand=self._brand(), track_id=track_id)
        return await call(self._account, _operations.LOOKUP, params, **options)

    async def search(self, search: DeploymentSearch, **options: Unpack[SingleOptions]) -> tuple[DeploymentStatus, ...]:
        """Search deployments (Omeda: Deployment Search): at most 200 are given, and there are no pages.

        Args:
            search: What to look for.
            options: ``priority``, ``max_wait``, ``deadline``, ``timeout`` and ``headers``; see :class:`SingleOptions`.

        Raises:
            OmedaAsyncError: See :mod:`omeda_async.errors`.
        """
        params = _requests.SearchDeployments(brand=self._brand(), search=search)
        return await call(self._account, _operations.SEARCH, params, **options)

    @overload
    def cancel_many(
        self,
        records: Records[CancelT],
        *,
        user_id: str | None = ...,
        explain: bool = ...,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[CancelT, DeploymentReceipt]: ...

    @overload
    def cancel_many(
        self,
        records: Records[DeploymentRecord],
        *,
        user_id: str | None = ...,
        explain: bool = ...,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[DeploymentRecord, DeploymentReceipt]: ...

    def cancel_many(
        self,
        records: Records[Any],
        *,
        user_id: str | None = None,
        explain: bool = True,
        **options: Unpack[BulkOptions],
    ) -> BulkRun[Any, DeploymentReceipt]:
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
        return BulkRun(self._cancels(user_id, explain=explain), records, **options)

    def shared_run(
        self,
        journal: str,
        *,
        user_id: str | None = None,
        explain: bool = True,
        **options: Unpack[SharedOptions],
    ) -> "SharedRun[DeploymentRecord, DeploymentReceipt]":
        """Cancel many deployments, as a run that several processes share: see :class:`SharedRun`.

        Args:
            journal: ``postgresql://host/database?run=NAME``: where it is kept.
            user_id: In whose name, where a record names nobody; by default the settings' ``user_id``.
            explain: Look up what an ambiguous refusal meant.
            options: See :class:`SharedOptions`.

        Raises:
            ConfigurationError: The settings name no brand, or an option is out of range; the message names it.
            TypeError: There is no such option.
        """
        from omeda_async.bulk.shared.run import SharedRun  # noqa: PLC0415 who shares no run loads no psycopg

        return SharedRun(journal, self._cancels(user_id, explain=explain), **options)

    def _cancels(self, user_id: str | None, *, explain: bool) -> OneByOne:
        brand = self._brand()
        user = self._settings.user_id if user_id is None else user_id

        def read(raw: Any) -> Item:
            record = cancel_from(raw, user_id=user)
            params = _requests.CancelDeployment(brand=brand, track_id=record.track_id, user_id=record.user_id)
            key = record.track_id if record.key is None else record.key
            target = brand, record.track_id, record.user_id or ""  # another user may be allowed to
            return item_of(_operations.CANCEL, raw, params, key=key, target=target, due=record.scheduled_for)

        name, scope = "deployments.cancel_many", {"brand": brand}
        cancel, reading = _operations.CANCEL, {"user_id": user}
        return OneByOne(self._account, name, cancel, read, CONCURRENCY, explain, scope, LOOK_AHEAD, reading=reading)


def addresses_of(settings: OmedaSettings, insist: bool | None = None) -> Addresses:
    """Return which addresses are taken: of tests and closed networks only where nothing is real."""
    if insist is not None:
        check_flag("allow_odd_addresses", insist)
    if settings.allow_odd_addresses if insist is None else insist:
        return Addresses.ODD
    return Addresses.RESERVED if settings.for_tests else Addresses.REAL
