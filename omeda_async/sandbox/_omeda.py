"""Omeda: deployments, the opt-out queue, and the account they belong to."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal

import attrs

from omeda_async.sandbox import _deployment_rules as rules, _opt_out_rules as opt_out_rules
from omeda_async.sandbox._deployment_search import InvalidSearchError, found_by
from omeda_async.sandbox._message import Answer, Incoming, html_answer, json_answer
from omeda_async.sandbox._state import OptOuts, SandboxDeployment

_ROUTES: dict[tuple[str, ...], dict[str, str]] = {
    ("brand", "omail", "deployment", "cancel"): {"POST": "deployments.cancel"},
    ("brand", "omail", "deployment"): {"POST": "deployments.create", "PUT": "deployments.update"},
    ("brand", "omail", "deployment", "clone"): {"POST": "deployments.clone"},
    ("brand", "omail", "deployment", "search"): {"POST": "deployments.search"},
    ("brand", "omail", "deployment", "lookup"): {"GET": "deployments.lookup"},
    ("client", "optoutfilterqueue"): {"POST": "opt_outs.submit"},
}
_FORBIDDEN = "The AppId submitted is forbidden access."
_NOT_FOUND = "No deployment was found matching trackId '{}'."
_MAX_ID = 255


class _Refused(Exception):
    def __init__(self, status: int, *texts: str) -> None:
        super().__init__(*texts)
        self.status = status
        self.texts = texts


@attrs.define(kw_only=True)
class OmedaSandbox:
    """The state of the emulated Omeda account, and its answers."""

    app_id: str = attrs.field(repr=False)
    brand: str
    client: str
    user_id: str
    new_id: Callable[[], str] = attrs.field(repr=False)
    now: Callable[[], datetime] = attrs.field(repr=False)
    url: str = ""
    directory: rules.Directory = attrs.field(repr=False)
    """Users, deployment types, billing codes and so on that exist."""
    brands: set[str] = attrs.field(factory=lambda: {"FOO", "XXD", "XXG", "XXH", "XXL", "XXM", "XXP", "XXQ"})
    """Brand ids that are authorised for opt-outs; with none, every opt-out is refused for that reason."""
    brand_abbreviations: set[str] = attrs.field(factory=set)
    """Brands in the URL that the app id may use."""
    refused_emails: set[str] = attrs.field(factory=set)
    """Addresses whose opt-out is refused at every level, in words of ours: no document names such a cause."""
    named_culprits: int | None = None
    """How many culprits an answer names at most; 0: nobody, only the summary; None: all."""
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
    deployments: dict[str, SandboxDeployment] = attrs.field(factory=dict)
    creates: Counter[str] = attrs.field(factory=Counter)
    """How many deployments were created, by name."""
    opt_outs: OptOuts = attrs.field(factory=OptOuts)
    _last_number: int = 1_000_000_000

    name = "omeda"

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

    def operation(self, incoming: Incoming) -> str:
        """Name the operation that a request asks for."""
        return (_methods(incoming) or {}).get(incoming.method, "unknown")

    def ids(self, incoming: Incoming) -> frozenset[str]:
        """Return the track id, name or e-mail addresses a request is about."""
        body = incoming.json_object or {}
        names = ("TrackId", "CloneTrackId", "DeploymentName")
        found = [*map(body.get, names), *incoming.segments[7:8]]
        for level in opt_out_rules.LEVELS:
            entries = body.get(level)
            if isinstance(entries, list):
                found.extend(str(one.get("EmailAddress")) for one in entries if isinstance(one, dict))
        return frozenset(str(one) for one in found if one not in (None, "*"))

    def answer(self, incoming: Incoming) -> Answer:
        """Process a request."""
        try:
            self._admit(incoming)
            return self._process(incoming)
        except _Refused as refusal:
            return self._errors(refusal.status, refusal.texts)

    def failure(self, status: int) -> Answer:
        """Return an error in the documented format."""
        return self._errors(status, ["An unexpected error occurred. Please contact your Omeda representative."])

    def session_lost(self) -> Answer:
        """Return the answer to a key that is no longer valid."""
        return self._errors(403, [_FORBIDDEN])

    def _errors(self, status: int, texts: Iterable[str], id_key: str = "SubmissionId") -> Answer:
        return json_answer(status, {"Errors": [{"Error": text} for text in texts], id_key: self.new_id()})

    def _admit(self, incoming: Incoming) -> None:
        methods = _methods(incoming)
        if methods is None:
            raise _Refused(404, "The requested resource was not found.")
        if incoming.method not in methods:
            raise _Refused(405, f"The method {incoming.method} is not allowed for the requested resource.")
        if incoming.headers.get("x-omeda-appid") != self.app_id:
            raise _Refused(403, _FORBIDDEN)
        kind, abbreviation = incoming.segments[2:4]
        known = {self.client} if kind == "client" else {self.brand, *self.brand_abbreviations}
        if abbreviation not in known:
            raise _Refused(403, _FORBIDDEN)
        content_type = incoming.headers.get("Content-Type", "application/json").partition(";")[0].strip()
        if incoming.method != "GET" and content_type.lower() != "application/json":
            raise _Refused(400, f"Content type '{content_type}' is not supported.")

    def _process(self, incoming: Incoming) -> Answer:
        if self.max_bytes is not None and len(incoming.body) > self.max_bytes:
            return html_answer(413, "413 Request Entity Too Large")
        handlers: dict[str, Callable[[Incoming], Answer]] = {
            "deployments.cancel": self._cancel,
            "deployments.create": self._create,
            "deployments.clone": self._clone,
            "deployments.update": self._update,
            "deployments.lookup": self._lookup,
            "deployments.search": self._search,
            "opt_outs.submit": self._opt_out,
        }
        return handlers[incoming.operation](incoming)

    def _receipt(self, track_id: str, incoming: Incoming) -> Answer:
        base = "/".join(incoming.path.split("/")[:5])
        url = f"{self.url}{base}/omail/deployment/lookup/{track_id}/*"
        info = {"TrackId": track_id, "Url": url, "SubmissionId": self.new_id()}
        shapes: dict[str, dict[str, object]] = {
            "list": {"ResponseInfo": [info]},
            "dict": {"ResponseInfo": info},
        }
        data = shapes.get(self.receipt, {**info})
        if self.warnings is not None:
            data["Warnings"] = self.warnings
        return json_answer(200, data)

    def _known(self, track_id: str) -> SandboxDeployment:
        deployment = self.deployments.get(track_id)
        if deployment is None:
            raise _Refused(404, _NOT_FOUND.format(track_id))
        return deployment

    def _cancel(self, incoming: Incoming) -> Answer:
        body = _body(incoming)
        texts = [f"The field '{name}' is required." for name in ("UserId", "TrackId") if not body.get(name)]
        for name in ("UserId", "TrackId"):
            texts.extend(rules.too_long(name, body.get(name), _MAX_ID))
            if not isinstance(body.get(name, ""), str):
                texts.append(f"The value '{body[name]}' for field '{name}' must be a string.")
        if self.strict_fields:
            texts.extend(f"Unknown field '{name}'." for name in sorted(body.keys() - {"UserId", "TrackId"}))
        if texts:
            raise _Refused(400, *texts)
        deployment = self._known(body["TrackId"])
        deployment.cancel_attempts += 1
        self._check_cancellable(deployment, body["UserId"])
        deployment.status = "Cancelled"
        deployment.cancels += 1
        return self._receipt(deployment.track_id, incoming)

    def _check_cancellable(self, deployment: SandboxDeployment, user_id: str) -> None:
        if not deployment.may_edit(user_id):
            raise _Refused(self.authorization_status, f"User '{user_id}' is not authorized to cancel this deployment.")
        if deployment.status in ("Sent", "Sending"):
            text = f"Deployment '{deployment.track_id}' was sent on {deployment.sent_on or self._central_now()}."
            raise _Refused(self.state_error_status, text)
        if deployment.status == "Cancelled":
            text = f"Deployment '{deployment.track_id}' has been previously cancelled."
            raise _Refused(self.state_error_status, text)

    def _central_now(self) -> str:
        return rules.central(self.now())

    def _create(self, incoming: Incoming) -> Answer:
        body = _body(incoming)
        self._check(body, creating=True)
        self.creates[body["DeploymentName"]] += 1
        return self._new(dict(body), incoming)

    def _new(self, fields: dict[str, Any], incoming: Incoming) -> Answer:
        self._last_number += 1
        track_id = f"{incoming.segments[3]}{self._last_number}"
        self.deployments[track_id] = SandboxDeployment(track_id, "New", fields, set(), created_at=incoming.arrived_at)
        return self._receipt(track_id, incoming)

    def _clone(self, incoming: Incoming) -> Answer:
        body = _body(incoming)
        texts = list(rules.clone_problems(body, self.directory, self.now(), strict=self.strict_fields))
        if texts:
            raise _Refused(400, *texts)
        source = self._known(body["CloneTrackId"])
        owner = body.get("OwnerUserId")
        if owner and not source.may_edit(owner):
            text = f"OwnerUserId '{owner}' is not authorized to edit deployment '{source.track_id}'\""
            raise _Refused(self.authorization_status, text)
        if not source.clonable:
            raise _Refused(self.state_error_status, f"Deployment '{source.track_id}' cannot be cloned.")
        source.clones += 1
        return self._new(rules.cloned_fields(source, body), incoming)

    def _update(self, incoming: Incoming) -> Answer:
        body = _body(incoming)
        self._check(body, creating=False)
        deployment = self._known(body["TrackId"])
        reason = rules.not_editable(deployment, body["OwnerUserId"])
        if reason is not None:
            refused = self.authorization_status if "authorized" in reason else self.state_error_status
            raise _Refused(refused, reason)
        deployment.fields.update(body)
        deployment.updates += 1
        return self._receipt(deployment.track_id, incoming)

    def _check(self, body: dict[str, Any], *, creating: bool) -> None:
        found = rules.problems(body, self.directory, self.now(), creating=creating, strict=self.strict_fields)
        texts = list(found)
        if texts:
            raise _Refused(400, *texts)

    def _visible(self, incoming: Incoming) -> dict[str, SandboxDeployment]:
        if not self.visible_after:
            return self.deployments
        latest = incoming.arrived_at - self.visible_after
        return {key: one for key, one in self.deployments.items() if one.created_at <= latest}

    def _lookup(self, incoming: Incoming) -> Answer:
        track_id = incoming.segments[7]
        deployment = self._visible(incoming).get(track_id)
        if deployment is None:
            raise _Refused(404, f"Could not find deployment matching track Id {track_id}.")
        return json_answer(200, {**deployment.view(), "SubmissionId": self.new_id()})

    def _search(self, incoming: Incoming) -> Answer:
        body = _body(incoming)
        try:
            found = found_by(body, self._visible(incoming).values())
        except InvalidSearchError as error:
            raise _Refused(400, str(error)) from None
        return json_answer(200, {"Deployments": [one.view() for one in found], "SubmissionId": self.new_id()})

    def _opt_out(self, incoming: Incoming) -> Answer:
        data = incoming.json_object
        if self.max_entries is not None and _entries(data) > self.max_entries:
            return html_answer(413, "413 Request Entity Too Large")
        texts = opt_out_rules.malformed(data, strict=self.strict_fields)
        if data is not None and not texts:
            named = list(opt_out_rules.culprits(data, self.brands, self.deployment_types, self.refused_emails))
            if not named:
                submission_id = self.new_id()
                self.opt_outs.apply(submission_id, incoming.arrived_at, incoming.body, data)
                success: dict[str, object] = {
                    "SubmissionId": submission_id,
                    "Success": "Your submission was successful",
                }
                if self.warnings is not None:
                    success["Warnings"] = self.warnings
                return json_answer(200, success)
            texts = named[: self.named_culprits]
        return self._errors(400, [*texts, opt_out_rules.SUMMARY], "Submission")


def _body(incoming: Incoming) -> dict[str, Any]:
    if incoming.json_object is None:
        raise _Refused(400, "The request body is not valid JSON.")
    return incoming.json_object


def _entries(data: dict[str, Any] | None) -> int:
    return sum(len(items) for items in (data or {}).values() if isinstance(items, list))


def _methods(incoming: Incoming) -> dict[str, str] | None:
    """Return the operations of a path by method, or None where there is no such path."""
    segments = incoming.segments
    if segments[:2] != ("webservices", "rest") or not incoming.path.endswith("/*") or len(segments) < 6:
        return None
    kind, rest = segments[2], segments[4:-1]
    if rest[:3] == ("omail", "deployment", "lookup"):
        return _ROUTES.get((kind, *rest[:3])) if len(rest) == 4 and rest[3] else None
    return _ROUTES.get((kind, *rest))
