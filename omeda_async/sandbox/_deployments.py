"""Omeda's deployments, and the search for them."""

import re
from collections.abc import Iterable
from typing import Any

import attrs

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


@attrs.define
class SandboxDeployment:
    """An Omeda deployment as the sandbox keeps it."""

    track_id: str
    status: str
    fields: dict[str, Any]
    """What create, update or seeding set, under the provider's names: ``DeploymentName`` and so on."""
    authorized: set[str]
    """Users that may cancel and edit it, beside its owner and final approver."""
    sent_on: str | None = None
    """When it was sent, US Central."""
    created_in_portal: bool = False
    edited_in_portal: tuple[str, str] | None = None
    """Who edited it in the portal last, and when."""
    created_at: float = 0.0
    """On the loop's clock."""
    cancels: int = 0
    """How often a cancel was applied to it; more than once never happens."""
    cancel_attempts: int = 0
    """How often a cancel for it was processed, applied or refused."""
    updates: int = 0
    """How often an update was applied to it."""
    clonable: bool = True
    clones: int = 0
    """How often it was cloned."""

    @property
    def name(self) -> str:
        """Return its name."""
        return str(self.fields.get("DeploymentName", ""))

    @property
    def owner(self) -> str:
        """Return the user id of its owner."""
        return str(self.fields.get("OwnerUserId", ""))

    def may_edit(self, user_id: str) -> bool:
        """Whether a user may cancel and edit it."""
        return user_id in self.authorized or user_id in (self.owner, self.fields.get("FinalApproverUserId"))

    def view(self, *, code: bool = False) -> dict[str, Any]:
        """Return it as look-up and search show it, its status in words or as a code."""
        return {
            "TrackId": self.track_id,
            "Status": self.status.upper().replace(" ", "_") if code else self.status,
            "SentDate": self.sent_on,
            "FinalApproverUserId": self.owner,
            **self.fields,
        }


class InvalidSearchError(Exception):
    """A search with an option that does not exist, or a value that it cannot have."""


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
