"""Temenos Journey Manager, Workspaces: transactions, sessions, and what a lost session looks like."""

from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any, Literal
from urllib.parse import parse_qsl

import attrs

from omeda_async.sandbox import _journey_manager_query as query
from omeda_async.sandbox._message import Answer, Incoming, html_answer, json_answer
from omeda_async.sandbox._state import SandboxTransaction

Auth = Literal["basic", "bearer", "session"]
ErrorShape = Literal["flat", "nested", "list", "property", "text"]

_TEXTS = {
    "submitKeyNotSpecified": "submitKey not specified",
    "txnAlreadyFinished": "The transaction has already been finished (Completed or Abandoned).",
    "txnNotFound": "The transaction specified by the submitKey was not found.",
    "invalidAttribute": "Invalid request attribute: {detail}",
    "accessDenied": "Access denied.",
}
_SENTENCE = (
    "This session has been expired (possibly due to multiple concurrent logins being attempted as the same user)."
)
_TXN = ("workspaces", "secure", "api", "v1", "txn")
_OPERATIONS = {
    (*_TXN, "cancel"): "transactions.cancel",
    (*_TXN, "query"): "transactions.query",
    ("workspaces", "login"): "login",
}


@attrs.define(kw_only=True)
class JourneyManagerSandbox:
    """The state of the emulated Workspaces server, and its answers."""

    user: str
    password: str = attrs.field(repr=False)
    token: str = attrs.field(repr=False)
    """The bearer token that is accepted under ``bearer``."""
    new_id: Callable[[], str] = attrs.field(repr=False)
    now: Callable[[], datetime] = attrs.field(repr=False)
    auth: tuple[Auth, ...] = ("basic",)
    """Which ways of authentication are open."""
    csrf_header: str | None = None
    """With ``session``: the header that must carry the token that the login's answer gave in it."""
    second_login: Literal["refuse", "replace"] = "refuse"
    """One session per user: a second login gets 403, or it ends the first session."""
    expired_answer: Literal["redirect", "html", "sentence"] = "redirect"
    """What a request without a live session gets: a 302 to the login page, or a 200 that is no success."""
    error_shape: ErrorShape = "flat"
    """Where in the JSON the error key stands, which the provider does not publish."""
    success: Literal["empty", "json"] = "empty"
    """The body of a successful cancel, which the provider does not publish."""
    transactions: dict[str, SandboxTransaction] = attrs.field(factory=dict)
    logins: int = 0
    """How many logins succeeded."""
    _session: str | None = attrs.field(default=None, repr=False)
    _csrf: str = attrs.field(default="", repr=False)
    _log_id: int = 1000

    name = "journey_manager"

    def seed_transaction(self, submit_key: str, form_status: str = "Saved", **fields: Any) -> SandboxTransaction:
        """Put a transaction in place."""
        fields.setdefault("modified_at", self.now())
        transaction = SandboxTransaction(submit_key, form_status, **fields)
        self.transactions[submit_key] = transaction
        return transaction

    def expire_session(self) -> None:
        """End the session that is active: its next request finds it lost."""
        self._session = None

    def reset(self) -> None:
        """Forget all transactions and sessions."""
        self.transactions.clear()
        self._session, self.logins = None, 0

    def operation(self, incoming: Incoming) -> str:
        """Name the operation that a request asks for."""
        return _OPERATIONS.get(incoming.segments, "unknown")

    def ids(self, incoming: Incoming) -> tuple[str, ...]:
        """Return the submit key a request is about."""
        params = (incoming.json_object or {}).get("params")
        key = params.get("submitKey") if isinstance(params, dict) else None
        return (key,) if isinstance(key, str) else ()

    def answer(self, incoming: Incoming) -> Answer:
        """Process a request."""
        if incoming.operation == "unknown":
            return html_answer(404, "404 Not Found")
        if incoming.operation == "login":
            return self._login(incoming)
        if incoming.method != "POST":
            return html_answer(405, "405 Method Not Allowed")
        refusal = self._authenticate(incoming)
        if refusal is not None:
            return refusal
        return self._cancel(incoming) if incoming.operation == "transactions.cancel" else self._query(incoming)

    def failure(self, status: int) -> Answer:
        """Return the documented internal error, with a new error log id; for other statuses a page."""
        if status != 500:
            return html_answer(status, f"{status} Refused")
        self._log_id += 1
        return self._error("internalError", 500, text=f"Please see Error Log ID {self._log_id}")

    def session_lost(self) -> Answer:
        """End the session that is active and answer accordingly."""
        self.expire_session()
        return self._expired()

    def _expired(self) -> Answer:
        if self.expired_answer == "redirect":
            return Answer(302, b"", "text/html", {"Location": "/workspaces/login"})
        if self.expired_answer == "html":
            return html_answer(200, "Log in")
        return Answer(200, _SENTENCE.encode(), "text/plain")

    def _error(self, key: str, status: int = 400, *, text: str | None = None, detail: str = "") -> Answer:
        text = text or _TEXTS[key].format(detail=detail)
        shapes: dict[ErrorShape, object] = {
            "flat": {"errorKey": key, "errorMessage": text},
            "nested": {"error": {"key": key, "message": text}},
            "list": {"errors": [{"errorKey": key, "errorMessage": text}]},
            "property": {key: text},
            "text": text,
        }
        return json_answer(status, shapes[self.error_shape])

    def _authenticate(self, incoming: Incoming) -> Answer | None:
        given = incoming.headers.get("Authorization")
        basic = "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()
        if "basic" in self.auth and given == basic:
            return None
        if "bearer" in self.auth and given == f"Bearer {self.token}":
            return None
        if "session" not in self.auth or given is not None:
            scheme = "Bearer" if self.auth == ("bearer",) else "Basic"
            return html_answer(401, "401 Unauthorized", {"WWW-Authenticate": f'{scheme} realm="Workspaces"'})
        if self._session is None or _cookie(incoming) != self._session:
            return self._expired()
        if self.csrf_header and incoming.headers.get(self.csrf_header) != self._csrf:
            return self._error("accessDenied", 403)
        return None

    def _login(self, incoming: Incoming) -> Answer:
        if incoming.method == "GET":
            return html_answer(200, "Log in")
        form = incoming.json_object or dict(parse_qsl(incoming.body.decode("utf-8", "replace")))
        if (form.get("username"), form.get("password")) != (self.user, self.password):
            return self._error("accessDenied", 401)
        mine = self._session is not None and _cookie(incoming) == self._session
        if self._session is not None and not mine and self.second_login == "refuse":
            return self._error("accessDenied", 403)
        self._session, self._csrf = self.new_id(), self.new_id()
        self.logins += 1
        headers = {"Set-Cookie": f"JSESSIONID={self._session}; Path=/; HttpOnly"}
        return Answer(200, headers=headers | ({self.csrf_header: self._csrf} if self.csrf_header else {}))

    def _cancel(self, incoming: Incoming) -> Answer:
        body = incoming.json_object
        params = (body or {}).get("params")
        if body is None or body.keys() != {"params"} or not isinstance(params, dict):
            return self._error("invalidAttribute", detail="params")
        unknown = params.keys() - {"submitKey", "reason", "milestones"}
        wrong = unknown or {key for key, value in params.items() if not isinstance(value, str)}
        if wrong:
            return self._error("invalidAttribute", detail=min(wrong))
        if not params.get("submitKey"):
            return self._error("submitKeyNotSpecified")
        transaction = self.transactions.get(params["submitKey"])
        if transaction is None or not transaction.accessible:
            return self._error("txnNotFound")
        transaction.cancel_attempts += 1
        if transaction.form_status in ("Completed", "Abandoned"):
            return self._error("txnAlreadyFinished")
        transaction.abandon(params.get("reason"), params.get("milestones"), self.now())
        return json_answer(200, {"result": "success"}) if self.success == "json" else Answer(200)

    def _query(self, incoming: Incoming) -> Answer:
        body = incoming.json_object
        if body is not None and body.keys() == {"params"} and isinstance(body["params"], dict):
            body = body["params"]
        if body is None:
            return self._error("invalidAttribute", detail="body")
        try:
            accessible = [one for one in self.transactions.values() if one.accessible]
            return json_answer(200, query.run(body, accessible, self.now()))
        except query.InvalidQueryError as error:
            return self._error("invalidAttribute", detail=str(error))


def _cookie(incoming: Incoming) -> str | None:
    try:
        morsel = SimpleCookie(incoming.headers.get("Cookie", "")).get("JSESSIONID")
    except CookieError:
        return None
    return None if morsel is None else morsel.value
