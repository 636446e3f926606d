"""Which deployment of a search is the one that a create or a clone made: one alone, that can be no other."""

from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import attrs

from omeda_async._operation import Verdict
from omeda_async.errors import InvalidRecord
from omeda_async.providers.omeda._dates import to_central
from omeda_async.providers.omeda._requests import (
    CloneDeployment,
    CreateDeployment,
    LookupDeployment,
    SearchDeployments,
)
from omeda_async.providers.omeda.models import DeploymentReceipt, DeploymentSearch, DeploymentStatus

M = TypeVar("M", CreateDeployment, CloneDeployment)

_CLOCKS_APART: Final = timedelta(minutes=5)
"""How far Omeda's clock and ours may differ."""
_COPY: Final = "Copy of "
"""What Omeda's page on clones says it puts before the name of one."""


@attrs.frozen(kw_only=True)
class Wanted:
    """What is known of a deployment that may have been made."""

    names: tuple[str, ...]
    """Those it may have."""
    owner_user_id: str
    deployment_date: datetime
    deployment_type_id: int | None
    now: datetime
    """The time of the call."""
    source: str | None = None
    """The track id of what it is a clone of: that one is another, however alike."""


def source_of(params: CloneDeployment) -> LookupDeployment:
    """Ask for the deployment that was to be cloned."""
    return LookupDeployment(brand=params.brand, track_id=params.track_id)


def with_source(params: CloneDeployment, found: Any) -> CloneDeployment:
    """Add what a look-up shows of the deployment that was to be cloned."""
    return attrs.evolve(params, source=found if isinstance(found, DeploymentStatus) else None)


def search_for_made(params: CreateDeployment | CloneDeployment) -> SearchDeployments:
    """Ask for the deployments that the one made may be among, by its name and owner.

    Its date is compared afterwards: the provider's own date filter looks at when a deployment was sent.

    Raises:
        InvalidRecord: The name or the owner of the clone's source is not known.
    """
    wanted = _wanted(params)
    if wanted is None:
        raise InvalidRecord.of("track_id", "its name and owner are not known: there is nothing to search for")
    # The name is matched as a part of names: a clone is found by that of its source, with and without what is added.
    search = DeploymentSearch(deployment_name=wanted.names[0], entered_by_or_assigned_to=wanted.owner_user_id)
    return SearchDeployments(brand=params.brand, search=search)


def with_candidate(params: M, found: Any) -> M:
    """Add the one deployment of a search that may be the one made, if there is exactly one."""
    wanted = _wanted(params)
    return attrs.evolve(params, candidate=_only(wanted, found) if wanted is not None else None)


def judge_row(params: CreateDeployment | CloneDeployment) -> Verdict:
    """Judge by the search's row of the one candidate: it is the one made if its date is there, and fits."""
    row = params.candidate
    dated = row is not None and row.track_id is not None and row.deployment_date is not None
    return Verdict.DONE if dated else Verdict.UNDECIDED


def candidate_of(params: CreateDeployment | CloneDeployment) -> LookupDeployment:
    """Ask for the deployment that may be the one made: Omeda's search need not show its date, the look-up does.

    Raises:
        InvalidRecord: The search has shown none, or several.
    """
    if params.candidate is None or params.candidate.track_id is None:
        raise InvalidRecord.of("track_id", "the search shows none that may be the one made, or several")
    return LookupDeployment(brand=params.brand, track_id=params.candidate.track_id)


def judge_made(params: CreateDeployment | CloneDeployment, found: Any) -> Verdict:
    """Judge by a look-up of the one candidate: only its date tells it from the one before.

    One that the look-up does not find yet proves nothing, as the search does not promise to be up to date.
    """
    wanted, row = _wanted(params), params.candidate
    if wanted is None or row is None or not isinstance(found, DeploymentStatus):
        return Verdict.UNDECIDED
    date = found.deployment_date or found.requested_date
    same = found.track_id == row.track_id and _may_be(wanted, found)
    return Verdict.DONE if same and date is not None and _is_date(wanted, date) else Verdict.UNDECIDED


def settled_made(params: CreateDeployment | CloneDeployment, _: Any) -> DeploymentReceipt:
    """Make the receipt of a deployment that has been found."""
    return DeploymentReceipt(settled=True) if params.candidate is None else _receipt(params.candidate)


def _receipt(made: DeploymentStatus) -> DeploymentReceipt:
    return DeploymentReceipt(made.track_id, made.url, settled=True)


def _wanted(params: CreateDeployment | CloneDeployment) -> Wanted | None:
    return _wanted_new(params) if isinstance(params, CreateDeployment) else _wanted_clone(params)


def _wanted_new(params: CreateDeployment) -> Wanted:
    new = params.deployment
    return Wanted(
        names=(new.deployment_name,),
        owner_user_id=new.owner_user_id,
        deployment_date=new.deployment_date,
        deployment_type_id=new.deployment_type_id,
        now=params.now,
    )


def _wanted_clone(params: CloneDeployment) -> Wanted | None:
    source = params.source
    if source is None or not source.deployment_name or not source.owner_user_id:
        return None
    return Wanted(
        names=(source.deployment_name, _COPY + source.deployment_name),
        owner_user_id=source.owner_user_id,
        deployment_date=params.deployment_date,
        deployment_type_id=source.deployment_type_id,
        now=params.now,
        source=params.track_id,
    )


def _only(wanted: Wanted, found: Any) -> DeploymentStatus | None:
    rows = found if isinstance(found, tuple) else ()
    matches = [row for row in rows if _may_be(wanted, row)]
    return matches[0] if len(matches) == 1 else None


def _is_date(wanted: Wanted, date: datetime) -> bool:
    return to_central(date) == to_central(wanted.deployment_date)


def _may_be(wanted: Wanted, row: DeploymentStatus) -> bool:
    if row.deployment_name not in wanted.names or (row.track_id is not None and row.track_id == wanted.source):
        return False
    if row.owner_user_id is not None and row.owner_user_id.casefold() != wanted.owner_user_id.casefold():
        return False
    if wanted.deployment_type_id is not None and row.deployment_type_id not in {None, wanted.deployment_type_id}:
        return False
    if row.deployment_date is not None and not _is_date(wanted, row.deployment_date):
        return False
    return row.created_date is None or row.created_date >= wanted.now - _CLOCKS_APART
