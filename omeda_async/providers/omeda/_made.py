"""
Which deployment of a search is the one that a create or a clone made: one alone, that can be no other.
"""

from datetime import datetime, timedelta
from typing import Any, Final

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

_CLOCKS_APART: Final = timedelta(minutes=5)
"""How far Omeda's clock and ours may differ."""
_COPY: Final = "Copy of "
"""What Omeda's page on clones says it puts before the name of one."""


@attrs.frozen(kw_only=True)
class Wanted:
    """
    What is known of a deployment that may have been made.
    """

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
    """
    Ask for the deployment that was to be cloned.
    """
    return LookupDeployment(brand=params.brand, track_id=params.track_id)


def with_source(params: CloneDeployment, found: Any) -> CloneDeployment:
    """
    Add what a look-up shows of the deployment that was to be cloned.
    """
    return attrs.evolve(params, source=found if isinstance(found, DeploymentStatus) else None)


def search_for_made(params: CreateDeployment | CloneDeployment) -> SearchDeployments:
    """
    Ask for the deployments that the one made may be among, by its name and owner.

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


def judge_made(params: CreateDeployment | CloneDeployment, found: Any) -> Verdict:
    """
    Tell from a search whether a deployment was made: exactly one that can be no other.

    None proves nothing, as the search does not promise to be up to date.
    """
    return Verdict.DONE if _made(params, found) is not None else Verdict.UNDECIDED


def settled_made(params: CreateDeployment | CloneDeployment, found: Any) -> DeploymentReceipt:
    """
    Make the receipt of a deployment that a search has found.
    """
    match = _made(params, found)
    if match is None:
        return DeploymentReceipt(settled=True)
    return DeploymentReceipt(match.track_id, match.url, settled=True)


def _wanted(params: CreateDeployment | CloneDeployment) -> Wanted | None:
    if isinstance(params, CreateDeployment):
        new = params.deployment
        return Wanted(
            names=(new.deployment_name,),
            owner_user_id=new.owner_user_id,
            deployment_date=new.deployment_date,
            deployment_type_id=new.deployment_type_id,
            now=params.now,
        )
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


def _made(params: CreateDeployment | CloneDeployment, found: Any) -> DeploymentStatus | None:
    wanted = _wanted(params)
    rows = found if isinstance(found, tuple) else ()
    matches = [row for row in rows if wanted is not None and _may_be(wanted, row)]
    return matches[0] if wanted is not None and len(matches) == 1 and _must_be(wanted, matches[0]) else None


def _may_be(wanted: Wanted, row: DeploymentStatus) -> bool:
    if row.deployment_name not in wanted.names or (row.track_id is not None and row.track_id == wanted.source):
        return False
    if row.owner_user_id is not None and row.owner_user_id.casefold() != wanted.owner_user_id.casefold():
        return False
    if wanted.deployment_type_id is not None and row.deployment_type_id not in {None, wanted.deployment_type_id}:
        return False
    if row.deployment_date is not None and to_central(row.deployment_date) != to_central(wanted.deployment_date):
        return False
    return row.created_date is None or row.created_date >= wanted.now - _CLOCKS_APART


def _must_be(wanted: Wanted, row: DeploymentStatus) -> bool:
    # A newsletter has the same name every week: without a date that fits, it may be last week's. One deployment is
    # cloned for several dates in a row: when it was created does not tell a clone from the one before it.
    dated = row.deployment_date if wanted.source is not None else row.deployment_date or row.created_date
    return dated is not None and row.track_id is not None
