"""Omeda's search for deployments."""

import re
from collections.abc import Iterable
from typing import Any

from omeda_async.sandbox._state import SandboxDeployment

_MOST = 200
_STATUSES = {
    "NEW": ("New",),
    "SENT_OR_SENDING": ("Sent", "Sending"),
    "SCHEDULED": ("Scheduled",),
    "SENDING": ("Sending",),
    "SENT": ("Sent",),
    "CANCELLED": ("Cancelled",),
    "WAITING_REVIEW": ("Waiting Review",),
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2})?")
_OPTIONS = frozenset(
    {
        "DeploymentName",
        "TrackId",
        "EnteredByOrAssignedTo",
        "DeploymentDateStart",
        "DeploymentDateEnd",
        "Statuses",
        "NumResults",
        "Type",
    }
)


class InvalidSearchError(Exception):
    """A search with an option that does not exist, or a value it can not have."""


def found_by(body: dict[str, Any], deployments: Iterable[SandboxDeployment]) -> list[SandboxDeployment]:
    """Return the deployments a search finds, at most 200.

    Raises:
        InvalidSearchError: An option does not exist or has a wrong value.
    """
    unknown = sorted(body.keys() - _OPTIONS)
    if unknown:
        raise InvalidSearchError(f"Unknown field '{unknown[0]}'.")
    most = body.get("NumResults", _MOST)
    if type(most) is not int or not 1 <= most <= _MOST:
        raise InvalidSearchError(f"The value '{most}' for field 'NumResults' must be between 1 and {_MOST}.")
    for name in ("DeploymentDateStart", "DeploymentDateEnd"):
        if name in body and not _DATE.fullmatch(str(body[name])):
            raise InvalidSearchError(f"Invalid value '{body[name]}' for field '{name}'.")
    statuses = _statuses(body.get("Statuses"))
    found = [one for one in deployments if (not statuses or one.status in statuses) and _matches(one, body)]
    return found[:most]


def _statuses(names: Any) -> set[str]:
    names = names or []
    listed = names if isinstance(names, list) else [names]
    wrong = [name for name in listed if not isinstance(name, str) or name not in _STATUSES]
    if wrong:
        raise InvalidSearchError(f"Invalid value '{wrong[0]}' for field 'Statuses'.")
    return {status for name in listed for status in _STATUSES[name]}


def _matches(deployment: SandboxDeployment, body: dict[str, Any]) -> bool:
    date = str(deployment.fields.get("DeploymentDate", ""))
    start, end = body.get("DeploymentDateStart"), body.get("DeploymentDateEnd")
    people = (deployment.owner, deployment.fields.get("FinalApproverUserId"))
    return (
        str(body.get("DeploymentName", "")).lower() in deployment.name.lower()
        and body.get("TrackId", deployment.track_id) == deployment.track_id
        and body.get("EnteredByOrAssignedTo", deployment.owner) in people
        # Both have the format 'yyyy-MM-dd HH:mm', whose order as text is that of time.
        and (not start or date >= start)
        and (not end or date <= end or date.startswith(end))
    )
