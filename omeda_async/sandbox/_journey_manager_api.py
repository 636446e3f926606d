"""Journey Manager's routes, its ways to log in, and what its errors and a lost session look like."""

from base64 import b64encode
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

import attrs

from omeda_async.sandbox._journey_manager import ErrorShape, JourneyManagerSandbox, Refused
from omeda_async.sandbox._message import Incoming, Response, html_response, json_response

_SENTENCE = (
    "This session has been expired (possibly due to multiple concurrent logins being attempted as the same user)."
)
_TXN = ("workspaces", "secure", "api", "v1", "txn")
_OPERATIONS = {
    (*_TXN, "cancel"): "transactions.cancel",
    (*_TXN, "query"): "transactions.query",
    ("workspaces", "login"): "login",
}


@attrs.define
class JourneyManagerApi:
    """How the emulated Workspaces server is reached."""

    state: JourneyManagerSandbox
    new_id: Callable[[], str]
    _log_id: int = 1000

    name = "journey_manager"

    def operation(self, incoming: Incoming) -> str:
        """Return the operation that a request asks for, or ``unknown``."""
        return _OPERATIONS.get(incoming.segments, "unknown")

    def ids(self, incoming: Incoming) -> tuple[str, ...]:
        """Return the submit key that a request is about."""
        params = (incoming.json_object or {}).get("params")
        key = params.get("submitKey") if isinstance(params, dict) else None
        return (key,) if isinstance(key, str) else ()

    def respond(self, incoming: Incoming) -> Response:
        """Do what a request asks for."""
        if incoming.operation == "unknown":
            return html_response(404, "404 Not Found")
        try:
            if incoming.operation == "login":
                return self._login(incoming)
            if incoming.method != "POST":
                return html_response(405, "405 Method Not Allowed")
            return self._refusal(incoming) or self._process(incoming)
        except Refused as refusal:
            return self._error(refusal.key, refusal.text, refusal.status)

    def failure(self, status: int) -> Response:
        """Return the documented internal error, with a new error log id; for other statuses a page."""
        if status != 500:
            return html_response(status, f"{status} Refused")
        self._log_id += 1
        return self._error("internalError", f"Please see Error Log ID {self._log_id}", 500)

    def session_lost(self) -> Response:
        """End the session that is active, and return the response to a request without one."""
        self.state.expire_session()
        return self._expired()

    def _expired(self) -> Response:
        if self.state.expired_answer == "redirect":
            return Response(302, b"", "text/html", {"Location": "/workspaces/login"})
        if self.state.expired_answer == "html":
            return html_response(200, "Log in")
        return Response(200, _SENTENCE.encode(), "text/plain")

    def _error(self, key: str, text: str, status: int) -> Response:
        shapes: dict[ErrorShape, object] = {
            "flat": {"errorKey": key, "errorMessage": text},
            "nested": {"error": {"key": key, "message": text}},
            "list": {"errors": [{"errorKey": key, "errorMessage": text}]},
            "property": {key: text},
            "text": text,
        }
        return json_response(status, shapes[self.state.error_shape])

    def _refusal(self, incoming: Incoming) -> Response | None:
        """Return the response to a request that is not let in, or None where it is.

        Raises:
            Refused: It does not carry the token of its session.
        """
        state, given = self.state, incoming.headers.get("Authorization")
        basic = "Basic " + b64encode(f"{state.user}:{state.password}".encode()).decode()
        if ("basic" in state.auth and given == basic) or ("bearer" in state.auth and given == f"Bearer {state.token}"):
            return None
        if "session" not in state.auth or given is not None:
            scheme = "Bearer" if state.auth == ("bearer",) else "Basic"
            return html_response(401, "401 Unauthorized", {"WWW-Authenticate": f'{scheme} realm="Workspaces"'})
        if state.session is None or _session(incoming) != state.session:
            return self._expired()
        if state.csrf_header and incoming.headers.get(state.csrf_header) != state.csrf:
            raise Refused("accessDenied", 403)
        return None

    def _login(self, incoming: Incoming) -> Response:
        if incoming.method == "GET":
            return html_response(200, "Log in")
        form = incoming.json_object or dict(parse_qsl(incoming.body.decode("utf-8", "replace")))
        state = self.state
        state.log_in(form.get("username"), form.get("password"), _session(incoming), self.new_id)
        headers = {"Set-Cookie": f"JSESSIONID={state.session}; Path=/; HttpOnly"}
        return Response(200, headers=headers | ({state.csrf_header: state.csrf} if state.csrf_header else {}))

    def _process(self, incoming: Incoming) -> Response:
        body = incoming.json_object
        params: Any = (body or {}).get("params")
        wrapped = body is not None and body.keys() == {"params"} and isinstance(params, dict)
        if incoming.operation == "transactions.query":
            if body is None:
                raise Refused("invalidAttribute", detail="body")
            return json_response(200, self.state.query(params if wrapped else body))
        if not wrapped:
            raise Refused("invalidAttribute", detail="params")
        self.state.cancel(params)
        return json_response(200, {"result": "success"}) if self.state.success == "json" else Response(200)


def _session(incoming: Incoming) -> str | None:
    try:
        morsel = SimpleCookie(incoming.headers.get("Cookie", "")).get("JSESSIONID")
    except CookieError:
        return None
    return None if morsel is None else morsel.value
