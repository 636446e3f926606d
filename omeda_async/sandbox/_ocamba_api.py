"""Ocamba's routes, its credentials, and the formats of its responses."""

from collections.abc import Callable

import attrs

from omeda_async.sandbox._message import JSON, Incoming, Response, json_response
from omeda_async.sandbox._ocamba import OcambaSandbox, Refused

_TITLES = {
    400: "Bad request.",
    401: "Unauthorized.",
    404: "Not found.",
    405: "Method not allowed.",
    429: "Too many requests.",
    500: "Internal server error.",
}
_BASE = ("v1", "hood", "campaigns")
_INVALID_TOKEN = "The access token is not valid."  # noqa: S105 it says so, and is none


@attrs.frozen
class OcambaApi:
    """How the emulated Ocamba account is reached."""

    state: OcambaSandbox
    new_id: Callable[[], str]

    name = "ocamba"

    def operation(self, incoming: Incoming) -> str:
        """Return the operation that a request asks for, or ``unknown``."""
        if incoming.segments[:3] != _BASE:
            return "unknown"
        match incoming.segments[3:]:
            case ():
                return "campaigns.list"
            case (_,):
                return "campaigns.get"
            case (_, "cancel"):
                return "campaigns.cancel"
            case _:
                return "unknown"

    def ids(self, incoming: Incoming) -> tuple[str, ...]:
        """Return the campaign that a request is about."""
        return incoming.segments[3:4]

    def respond(self, incoming: Incoming) -> Response:
        """Do what a request asks for that the limits have admitted."""
        try:
            return self._process(incoming)
        except Refused as refusal:
            return self.failure(refusal.status, refusal.message)

    def failure(self, status: int, message: str | None = None) -> Response:
        """Return an error in the documented format; a 500 has no message."""
        data: dict[str, object] = {"code": status, "title": _TITLES.get(status, "Error.")}
        if message is not None:
            data["message"] = message
        if self.state.trace_ids != "off":
            data["trace_id"] = "{}" if self.state.trace_ids == "empty" else self.new_id()
        return json_response(status, data)

    def session_lost(self) -> Response:
        """Return the response to a key that has been rolled."""
        return self.failure(401, _INVALID_TOKEN)

    def _process(self, incoming: Incoming) -> Response:
        if incoming.headers.get("Authorization") != f"Bearer {self.state.token}":
            raise Refused(401, _INVALID_TOKEN)
        match incoming.operation, incoming.method:
            case "campaigns.list", "GET":
                return json_response(200, self.state.page(incoming.query))
            case "campaigns.get", "GET":
                campaign = self.state.campaign(incoming.segments[3])
                return json_response(200, {"total": 1, "items": [campaign.view()]})
            case "campaigns.cancel", "POST":
                return self._cancel(incoming)
            case "unknown", _:
                raise Refused(404, "The requested resource was not found.")
            case _:
                raise Refused(405, "The method is not allowed for the requested resource.")

    def _cancel(self, incoming: Incoming) -> Response:
        body = incoming.json_object
        if body is None or not body.keys() <= {"reason"} or not isinstance(body.get("reason", ""), str):
            raise Refused(400, "The request body is not valid.")
        self.state.cancel(incoming.segments[3], body.get("reason"))
        return Response(204, b"", JSON)
