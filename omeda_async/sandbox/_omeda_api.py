"""Omeda's routes, its credentials, and the formats of its responses."""

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from omeda_async.sandbox._deployments import SandboxDeployment
from omeda_async.sandbox._message import Incoming, Response, html_response, json_response
from omeda_async.sandbox._omeda import OmedaSandbox, Refused
from omeda_async.sandbox._opt_outs import LEVELS

_ROUTES: dict[tuple[str, ...], dict[str, str]] = {
    ("brand", "omail", "deployment", "cancel"): {"POST": "deployments.cancel"},
    ("brand", "omail", "deployment"): {"POST": "deployments.create", "PUT": "deployments.update"},
    ("brand", "omail", "deployment", "clone"): {"POST": "deployments.clone"},
    ("brand", "omail", "deployment", "search"): {"POST": "deployments.search"},
    ("brand", "omail", "deployment", "lookup"): {"GET": "deployments.lookup"},
    ("client", "optoutfilterqueue"): {"POST": "opt_outs.submit"},
}
_FORBIDDEN = "The AppId submitted is forbidden access."
_NAMES = ("TrackId", "CloneTrackId", "DeploymentName")


@attrs.frozen
class OmedaApi:
    """How the emulated Omeda account is reached."""

    state: OmedaSandbox
    new_id: Callable[[], str]

    name = "omeda"

    def operation(self, incoming: Incoming) -> str:
        """Return the operation that a request asks for, or ``unknown``."""
        return (_methods(incoming) or {}).get(incoming.method, "unknown")

    def ids(self, incoming: Incoming) -> frozenset[str]:
        """Return the track id, name or e-mail addresses that a request is about."""
        body = incoming.json_object or {}
        found = [*map(body.get, _NAMES), *incoming.segments[7:8]]
        for level in LEVELS:
            entries = body.get(level)
            if isinstance(entries, list):
                found.extend(str(one.get("EmailAddress")) for one in entries if isinstance(one, dict))
        return frozenset(str(one) for one in found if one not in (None, "*"))

    def respond(self, incoming: Incoming) -> Response:
        """Do what a request asks for."""
        try:
            self._admit(incoming)
            return self._process(incoming)
        except Refused as refusal:
            return self._errors(refusal.status, refusal.texts)

    def failure(self, status: int) -> Response:
        """Return an error in the documented format."""
        return self._errors(status, ["An unexpected error occurred. Please contact your Omeda representative."])

    def session_lost(self) -> Response:
        """Return the response to a key that is no longer valid."""
        return self._errors(403, [_FORBIDDEN])

    def _errors(self, status: int, texts: Iterable[str]) -> Response:
        return json_response(status, {"Errors": _listed(texts), "SubmissionId": self.new_id()})

    def _admit(self, incoming: Incoming) -> None:
        methods = _methods(incoming)
        if methods is None:
            raise Refused(404, "The requested resource was not found.")
        if incoming.method not in methods:
            raise Refused(405, f"The method {incoming.method} is not allowed for the requested resource.")
        if incoming.headers.get("x-omeda-appid") != self.state.app_id:
            raise Refused(403, _FORBIDDEN)
        kind, abbreviation = incoming.segments[2:4]
        known = {self.state.client} if kind == "client" else {self.state.brand, *self.state.brand_abbreviations}
        if abbreviation not in known:
            raise Refused(403, _FORBIDDEN)
        content_type = incoming.headers.get("Content-Type", "application/json").partition(";")[0].strip()
        if incoming.method != "GET" and content_type.lower() != "application/json":
            raise Refused(400, f"Content type '{content_type}' is not supported.")

    def _process(self, incoming: Incoming) -> Response:
        if self.state.max_bytes is not None and len(incoming.body) > self.state.max_bytes:
            return html_response(413, "413 Request Entity Too Large")
        state, brand, at = self.state, incoming.segments[3], incoming.arrived_at
        match incoming.operation:
            case "opt_outs.submit":
                return self._opt_out(incoming)
            case "deployments.lookup":
                return self._result(state.lookup(incoming.segments[7], at).view())
            case "deployments.search":
                found = state.search(_body(incoming), at)
                return self._result({"Deployments": [one.view(code=state.search_codes) for one in found]})
            case "deployments.cancel":
                deployment = state.cancel(_body(incoming))
            case "deployments.create":
                deployment = state.create(_body(incoming), brand, at)
            case "deployments.clone":
                deployment = state.clone(_body(incoming), brand, at)
            case _:
                deployment = state.update(_body(incoming))
        return self._receipt(deployment, incoming)

    def _result(self, data: dict[str, Any]) -> Response:
        return json_response(200, {**data, "SubmissionId": self.new_id()})

    def _receipt(self, deployment: SandboxDeployment, incoming: Incoming) -> Response:
        base = "/".join(incoming.path.split("/")[:5])
        url = f"{self.state.url}{base}/omail/deployment/lookup/{deployment.track_id}/*"
        info = {"TrackId": deployment.track_id, "Url": url, "SubmissionId": self.new_id()}
        shapes: dict[str, dict[str, object]] = {"list": {"ResponseInfo": [info]}, "dict": {"ResponseInfo": info}}
        return self._with_warnings(shapes.get(self.state.receipt, {**info}))

    def _with_warnings(self, data: dict[str, object]) -> Response:
        if self.state.warnings is not None:
            data["Warnings"] = self.state.warnings
        return json_response(200, data)

    def _opt_out(self, incoming: Incoming) -> Response:
        data = incoming.json_object
        if self.state.max_entries is not None and _entries(data) > self.state.max_entries:
            return html_response(413, "413 Request Entity Too Large")
        submission_id = self.new_id()
        try:
            self.state.opt_out(incoming.body, data, submission_id, incoming.arrived_at)
        except Refused as refusal:
            return json_response(refusal.status, {"Errors": _listed(refusal.texts), "Submission": submission_id})
        return self._with_warnings({"SubmissionId": submission_id, "Success": "Your submission was successful"})


def _listed(texts: Iterable[str]) -> list[dict[str, str]]:
    return [{"Error": text} for text in texts]


def _body(incoming: Incoming) -> dict[str, Any]:
    if incoming.json_object is None:
        raise Refused(400, "The request body is not valid JSON.")
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
