"""How lost attempts on deployments are verified: by a deployment's status, or by finding the one that was made.

What a create or a clone made counts as found only where a single deployment can be it.
"""

import re
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import unquote

import attrs

from omeda_async._operation import Verdict
from omeda_async.errors import InvalidRecord, OmedaAsyncError
from omeda_async.providers._responses import judge
from omeda_async.providers.omeda._dates import to_central
from omeda_async.providers.omeda._requests import (
    CancelDeployment,
    CloneDeployment,
    CreateDeployment,
    LookupDeployment,
    SearchDeployments,
)
from omeda_async.providers.omeda.models import DeploymentReceipt, DeploymentSearch, DeploymentStatus

Making: TypeAlias = CreateDeployment | CloneDeployment
M = TypeVar("M", CreateDeployment, CloneDeployment)

_SENT: Final = frozenset({"sent", "sending", "sent or sending", "sent_or_sending"})
_CLOCKS_APART: Final = timedelta(minutes=5)
"""How far Omeda's clock and ours may differ."""
_COPY: Final = "Copy of "
"""What Omeda's page on clones says is added to the name of one; neither where, nor what becomes of a long name."""
_LOOKED_UP: Final = re.compile(r"/lookup/([^/?#]+)")
_LONGEST_NAME: Final = 80
"""Omeda's pages on create and clone."""


def may_be(asked: str, shown: str | None) -> bool:
    """Whether an answer that shows this track id, or none, may be of the deployment that was asked for."""
    return shown is None or shown.strip().casefold() == asked.strip().casefold()


def track_id_in(url: str | None) -> str | None:
    """Return the track id in the URL of a receipt, which is that of the look-up; None where there is none."""
    found = _LOOKED_UP.search(url or "")
    return None if found is None else unquote(found[1])


def judge_cancel(params: CancelDeployment, found: DeploymentStatus | OmedaAsyncError) -> Verdict:
    """Return what a look-up says of a cancel. A deployment that is not found may only not be there yet.

    A status that stands alone may be of anything, such as a gateway's own: only next to the track id it is a word.
    """
    if not isinstance(found, DeploymentStatus) or found.status is None or found.track_id is None:
        return Verdict.UNDECIDED
    if not may_be(params.track_id, found.track_id):
        return Verdict.UNDECIDED
    return judge(found.status, done={"cancelled", "canceled"}, too_late=_SENT, under_way="cancel")


@attrs.frozen(kw_only=True)
class Wanted:
    """What is known of a deployment that may have been made."""

    names: frozenset[str]
    """The names it may have."""
    searched: str
    """What is in all of them."""
    owner_user_id: str
    deployment_date: datetime
    deployment_type_id: int | None
    now: datetime
    """The time of the call."""
    source: str | None = None
    """The track id of the deployment it is a clone of, which is another one, however alike."""


def source_of(params: CloneDeployment) -> LookupDeployment:
    """Return the look-up of the deployment that was to be cloned."""
    return LookupDeployment(brand=params.brand, track_id=params.track_id)


def with_source(params: CloneDeployment, found: Any) -> CloneDeployment:
    """Return the parameters with what a look-up shows of the deployment that was to be cloned."""
    ours = isinstance(found, DeploymentStatus) and found.track_id in {None, params.track_id}
    return attrs.evolve(params, source=found if ours else None)


def search_for_made(params: Making) -> SearchDeployments:
    """Return the search for the deployment that was made, by its name and owner.

    Its date is compared afterwards: Omeda's own date filter looks at when a deployment was sent.

    Raises:
        InvalidRecord: The name or the owner of the clone's source is not known.
    """
    wanted = _wanted(params)
    if wanted is None:
        raise InvalidRecord.of("track_id", "its name and owner are not known: there is nothing to search for")
    # Omeda finds parts of names: a clone is found by that of its source, whatever is added to it.
    search = DeploymentSearch(deployment_name=wanted.searched, entered_by_or_assigned_to=wanted.owner_user_id)
    return SearchDeployments(brand=params.brand, search=search)


def with_candidate(params: M, found: Any) -> M:
    """Return the parameters with the one deployment of a search that may be the one made, if exactly one may be."""
    wanted = _wanted(params)
    rows = found if wanted is not None and isinstance(found, tuple) else ()
    matches = [row for row in rows if wanted is not None and _may_be(wanted, row)]
    return attrs.evolve(params, candidate=matches[0] if len(matches) == 1 else None)


def judge_row(params: Making) -> Verdict:
    """Return what the search says of the one candidate: it is the one made if its date is shown."""
    row = params.candidate
    dated = row is not None and row.track_id is not None and row.deployment_date is not None
    return Verdict.DONE if dated else Verdict.UNDECIDED


def candidate_of(params: Making) -> LookupDeployment:
    """Return the look-up of the candidate: it shows the date, which Omeda's search need not show.

    Raises:
        InvalidRecord: The search has shown no candidate, or several.
    """
    if params.candidate is None or params.candidate.track_id is None:
        raise InvalidRecord.of("track_id", "the search shows none that may be the one made, or several")
    return LookupDeployment(brand=params.brand, track_id=params.candidate.track_id)


def judge_made(params: Making, found: Any) -> Verdict:
    """Return what a look-up says of the candidate: only its date tells it from earlier deployments.

    A candidate that is not found yet proves nothing, as the search does not promise to be up to date.
    """
    wanted, row = _wanted(params), params.candidate
    if wanted is None or row is None or not isinstance(found, DeploymentStatus):
        return Verdict.UNDECIDED
    date = found.deployment_date or found.requested_date
    same = found.track_id == row.track_id and _may_be(wanted, found)
    return Verdict.DONE if same and date is not None and _is_date(wanted, date) else Verdict.UNDECIDED


def settled_made(params: Making, _: Any) -> DeploymentReceipt:
    """Return the receipt of a deployment that has been found."""
    made = params.candidate or DeploymentStatus()
    return DeploymentReceipt(made.track_id, made.url, settled=True)


def settled_cancel(params: CancelDeployment, found: Any) -> DeploymentReceipt:
    """Return the receipt of a deployment that is shown as cancelled."""
    url = found.url if isinstance(found, DeploymentStatus) else None
    return DeploymentReceipt(params.track_id, url, settled=True)


def _wanted(params: Making) -> Wanted | None:
    if isinstance(params, CreateDeployment):
        new = params.deployment
        return Wanted(
            names=frozenset({new.deployment_name.strip()}),
            searched=new.deployment_name,
            owner_user_id=new.owner_user_id,
            deployment_date=new.deployment_date,
            deployment_type_id=new.deployment_type_id,
            now=params.now,
        )
    source = params.source
    if source is None or not source.deployment_name or not source.owner_user_id:
        return None
    return Wanted(
        names=_names_of_copies(source.deployment_name),
        searched=source.deployment_name[: _LONGEST_NAME - len(_COPY)].strip(),
        owner_user_id=source.owner_user_id,
        deployment_date=params.deployment_date,
        deployment_type_id=source.deployment_type_id,
        now=params.now,
        source=params.track_id,
    )


def _names_of_copies(name: str) -> frozenset[str]:
    """Return the names that a clone may have: of its source as it is, or with what is added before or behind it.

    One that becomes too long may be cut before that or afterwards, or stay.
    """
    shortened = name[: _LONGEST_NAME - len(_COPY)]
    added = [text for one in (name, shortened) for text in (_COPY + one, f"{one} {_COPY}", one + _COPY)]
    return frozenset(text.strip() for one in (name, *added) for text in (one, one[:_LONGEST_NAME]))


def _is_date(wanted: Wanted, date: datetime) -> bool:
    return to_central(date) == to_central(wanted.deployment_date)


def _may_be(wanted: Wanted, row: DeploymentStatus) -> bool:
    if (row.deployment_name or "").strip() not in wanted.names or (
        row.track_id is not None and row.track_id == wanted.source
    ):
        return False
    if row.owner_user_id is not None and row.owner_user_id.casefold() != wanted.owner_user_id.casefold():
        return False
    if wanted.deployment_type_id is not None and row.deployment_type_id not in {None, wanted.deployment_type_id}:
        return False
    if row.deployment_date is not None and not _is_date(wanted, row.deployment_date):
        return False
    return row.created_date is None or row.created_date >= wanted.now - _CLOCKS_APART
