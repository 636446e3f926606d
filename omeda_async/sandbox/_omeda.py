"""Omeda: the account, its deployments and opt-outs, and what each operation does to them."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal

import attrs

from omeda_async.sandbox import _deployment_rules as rules, _opt_outs as queue
from omeda_async.sandbox._deployments import InvalidSearchError, SandboxDeployment, found_by

_NOT_FOUND = "No deployment was found matching trackId '{}'."


class Refused(Exception):
    """A request that Omeda refuses, with its status and texts."""

    def __init__(self, status: int, *texts: str) -> None:
        super().__init__(status, *texts)
        self.status = status
        self.texts = texts


@attrs.define(kw_only=True)
class OmedaSandbox:
    """The emulated Omeda account: its options, its deployments and its opt-outs.

    What it refuses is raised as ``Refused``. In its operations ``at`` is when the request arrived, on the loop's clock,
    and ``brand`` the one in the URL, which new track ids begin with.
    """

    app_id: str = attrs.field(repr=False)
    brand: str
    client: str
    user_id: str
    now: Callable[[], datetime] = attrs.field(repr=False)
    url: str = ""
    """The server's base URL, which receipts refer to."""
    directory: rules.Directory = attrs.field(repr=False)
    """Users, deployment types, billing codes and so on that exist."""
    brands: set[str] = attrs.field(factory=lambda: {"FOO", "XXD", "XXG", "XXH", "XXL", "XXM", "XXP", "XXQ"})
    """Brand ids that are authorised for opt-outs; with none, every opt-out is refused for that reason."""
    brand_abbreviations: set[str] = attrs.field(factory=set)
    """Brands in the URL that the app id may use."""
    refused_emails: set[str] = attrs.field(factory=set)
    """Addresses whose opt-out is refused at every level, in words of ours: no document names such a cause."""
    named_culprits: int | None = None
    """How many culprits an error names at most; 0: nobody, only the summary; None: all."""
    max_entries: int | None = None
    """Opt-out requests with more elements get 413; the provider publishes no limit."""
    max_bytes: int | None = None
    """Requests with a longer body get 413."""
    strict_fields: bool = True
    """Whether a field that no document knows is refused."""
    state_error_status: int = 400
    """Status of "was sent on", "previously cancelled", "cannot be edited" and the portal's refusals."""
    authorization_status: int = 403
    """Status of "is not authorized to …"."""
    receipt: Literal["list", "dict", "top"] = "list"
    """``ResponseInfo`` as the documented list, as a dict, or its fields at top level."""
    warnings: object = None
    """Sent along with receipts as ``Warnings``, whatever it is; None: not sent."""
    visible_after: float = 0.0
    """Seconds after which look-up and search find a created deployment."""
    clone_name: str = "Copy of {}"
    """What a clone is called that is given no name; cut at 80 characters."""
    search_codes: bool = False
    """Whether a search shows a status as a code, such as ``WAITING_REVIEW``."""
    deployments: dict[str, SandboxDeployment] = attrs.field(factory=dict)
    creates: Counter[str] = attrs.field(factory=Counter)
    """How many deployments were created, by name."""
    opt_outs: queue.OptOuts = attrs.field(factory=queue.OptOuts)
    _last_number: int = 1_000_000_000

    @property
    def deployment_types(self) -> set[int]:
        """Return the deployment types that are active and authorised for opt-outs; change it in place or set it."""
        return self.directory.deployment_types

    @deployment_types.setter
    def deployment_types(self, ids: Iterable[int]) -> None:
        self.directory.deployment_types = set(ids)

    def seed_deployment(
        self,
        track_id: str,
        status: str = "Scheduled",
        *,
        owner: str | None = None,
        name: str | None = None,
        deployment_date: str | datetime = "2035-01-01 09:00",
        sent_on: str | datetime | None = None,
        authorized: Iterable[str] = (),
        created_in_portal: bool = False,
        edited_in_portal: tuple[str, str] | None = None,
        clonable: bool = True,
        **fields: Any,
    ) -> SandboxDeployment:
        """Put a deployment in place; further fields go under the provider's names (``CampaignId=…``)."""
        values = {
            "DeploymentName": name or f"Deployment {track_id}",
            "DeploymentDate": rules.central(deployment_date),
            "OwnerUserId": owner or self.user_id,
            **fields,
        }
        if status == "Sent" and sent_on is None:
            sent_on = deployment_date
        deployment = SandboxDeployment(
            track_id,
            status,
            values,
            set(authorized),
            sent_on=None if sent_on is None else rules.central(sent_on),
            created_in_portal=created_in_portal,
            edited_in_portal=edited_in_portal,
            clonable=clonable,
            created_at=float("-inf"),
        )
        self.deployments[track_id] = deployment
        return deployment

    def reset(self) -> None:
        """Forget all deployments and opt-outs."""
        self.deployments.clear()
        self.creates.clear()
        self.opt_outs.clear()

    def cancel(self, body: dict[str, Any]) -> SandboxDeployment:
        """Cancel a deployment."""
        _refuse(rules.cancel_problems(body, strict=self.strict_fields))
        deployment = self._known(body["TrackId"])
        deployment.cancel_attempts += 1
        self._check_cancellable(deployment, body["UserId"])
        deployment.status = "Cancelled"
        deployment.cancels += 1
        return deployment

    def create(self, body: dict[str, Any], brand: str, at: float) -> SandboxDeployment:
        """Create a deployment."""
        self._check(body, creating=True)
        self.creates[body["DeploymentName"]] += 1
        return self._new(dict(body), brand, at)

    def clone(self, body: dict[str, Any], brand: str, at: float) -> SandboxDeployment:
        """Clone a deployment."""
        _refuse(rules.clone_problems(body, self.directory, self.now(), strict=self.strict_fields))
        source = self._known(body["CloneTrackId"])
        owner = body.get("OwnerUserId")
        if owner and not source.may_edit(owner):
            text = f"OwnerUserId '{owner}' is not authorized to edit deployment '{source.track_id}'\""
            raise Refused(self.authorization_status, text)
        if not source.clonable:
            raise Refused(self.state_error_status, f"Deployment '{source.track_id}' cannot be cloned.")
        source.clones += 1
        return self._new(rules.cloned_fields(source, body, self.clone_name), brand, at)

    def update(self, body: dict[str, Any]) -> SandboxDeployment:
        """Update a deployment."""
        self._check(body, creating=False)
        deployment = self._known(body["TrackId"])
        reason = rules.not_editable(deployment, body["OwnerUserId"])
        if reason is not None:
            refused = self.authorization_status if "authorized" in reason else self.state_error_status
            raise Refused(refused, reason)
        deployment.fields.update(body)
        deployment.updates += 1
        return deployment

    def lookup(self, track_id: str, at: float) -> SandboxDeployment:
        """Return a deployment that can be seen by then."""
        deployment = self.deployments.get(track_id)
        if deployment is None or not self._is_visible(deployment, at):
            raise Refused(404, f"Could not find deployment matching track Id {track_id}.")
        return deployment

    def search(self, body: dict[str, Any], at: float) -> list[SandboxDeployment]:
        """Return the deployments that a search finds, of those that can be seen by then."""
        try:
            return found_by(body, [one for one in self.deployments.values() if self._is_visible(one, at)])
        except InvalidSearchError as error:
            raise Refused(400, str(error)) from None

    def opt_out(self, body: bytes, data: dict[str, Any] | None, submission_id: str, at: float) -> None:
        """Apply all opt-outs of a request, or none; ``data`` is its parsed body, None where that is no JSON object."""
        texts = queue.malformed(data, strict=self.strict_fields)
        if data is not None and not texts:
            named = list(queue.culprits(data, self.brands, self.deployment_types, self.refused_emails))
            if not named:
                self.opt_outs.apply(submission_id, at, body, data)
                return
            texts = named[: self.named_culprits]
        raise Refused(400, *texts, queue.SUMMARY)

    def _known(self, track_id: str) -> SandboxDeployment:
        deployment = self.deployments.get(track_id)
        if deployment is None:
            raise Refused(404, _NOT_FOUND.format(track_id))
        return deployment

    def _check(self, body: dict[str, Any], *, creating: bool) -> None:
        _refuse(rules.problems(body, self.directory, self.now(), creating=creating, strict=self.strict_fields))

    def _check_cancellable(self, deployment: SandboxDeployment, user_id: str) -> None:
        if not deployment.may_edit(user_id):
            raise Refused(self.authorization_status, f"User '{user_id}' is not authorized to cancel this deployment.")
        if deployment.status in ("Sent", "Sending"):
            sent_on = deployment.sent_on or rules.central(self.now())
            raise Refused(self.state_error_status, f"Deployment '{deployment.track_id}' was sent on {sent_on}.")
        if deployment.status == "Cancelled":
            text = f"Deployment '{deployment.track_id}' has been previously cancelled."
            raise Refused(self.state_error_status, text)

    def _new(self, fields: dict[str, Any], brand: str, at: float) -> SandboxDeployment:
        self._last_number += 1
        track_id = f"{brand}{self._last_number}"
        self.deployments[track_id] = SandboxDeployment(track_id, "New", fields, set(), created_at=at)
        return self.deployments[track_id]

    def _is_visible(self, deployment: SandboxDeployment, at: float) -> bool:
        return not self.visible_after or deployment.created_at <= at - self.visible_after


def _refuse(problems: Iterable[str]) -> None:
    if texts := tuple(problems):
        raise Refused(400, *texts)
