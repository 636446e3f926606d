"""Temenos Journey Manager, Workspaces: transactions, what cancelling one does, and the one session of the user."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import attrs

from omeda_async.sandbox._transactions import InvalidQueryError, SandboxTransaction, query

Auth = Literal["basic", "bearer", "session"]
ErrorShape = Literal["flat", "nested", "list", "property", "text"]

_FINISHED = ("Completed", "Abandoned")
_TEXTS = {
    "submitKeyNotSpecified": "submitKey not specified",
    "txnAlreadyFinished": "The transaction has already been finished (Completed or Abandoned).",
    "txnNotFound": "The transaction specified by the submitKey was not found.",
    "invalidAttribute": "Invalid request attribute: {detail}",
    "accessDenied": "Access denied.",
}


class Refused(Exception):
    """A request that Journey Manager refuses, with its error key, text and status."""

    def __init__(self, key: str, status: int = 400, *, detail: str = "") -> None:
        super().__init__(key, status, detail)
        self.key = key
        self.status = status
        self.text = _TEXTS[key].format(detail=detail)


@attrs.define(kw_only=True)
class JourneyManagerSandbox:
    """The emulated Workspaces server: options, transactions, session. What it refuses is raised as ``Refused``."""

    user: str
    password: str = attrs.field(repr=False)
    token: str = attrs.field(repr=False)
    """The bearer token that is accepted under ``bearer``."""
    now: Callable[[], datetime] = attrs.field(repr=False)
    auth: tuple[Auth, ...] = ("basic",)
    """Which ways of authentication are open."""
    csrf_header: str | None = None
    """With ``session``: the header that must carry the token that the login's response gave in it."""
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
    session: str | None = attrs.field(default=None, repr=False)
    """The id of the session that is active."""
    csrf: str = attrs.field(default="", repr=False)
    """The token that its requests must carry."""

    def seed_transaction(self, submit_key: str, form_status: str = "Saved", **fields: Any) -> SandboxTransaction:
        """Put a transaction in place."""
        fields.setdefault("modified_at", self.now())
        transaction = SandboxTransaction(submit_key, form_status, **fields)
        self.transactions[submit_key] = transaction
        return transaction

    def expire_session(self) -> None:
        """End the session that is active: its next request finds it lost."""
        self.session = None

    def reset(self) -> None:
        """Forget all transactions and sessions."""
        self.transactions.clear()
        self.session, self.logins = None, 0

    def log_in(self, username: object, password: object, session: str | None, new_id: Callable[[], str]) -> None:
        """Open a session; ``session`` is the one that the request is part of."""
        if (username, password) != (self.user, self.password):
            raise Refused("accessDenied", 401)
        if self.session not in (None, session) and self.second_login == "refuse":
            raise Refused("accessDenied", 403)
        self.session, self.csrf = new_id(), new_id()
        self.logins += 1

    def cancel(self, params: dict[str, Any]) -> None:
        """Cancel a transaction."""
        unknown = params.keys() - {"submitKey", "reason", "milestones"}
        wrong = unknown or {key for key, value in params.items() if not isinstance(value, str)}
        if wrong:
            raise Refused("invalidAttribute", detail=min(wrong))
        if not params.get("submitKey"):
            raise Refused("submitKeyNotSpecified")
        transaction = self.transactions.get(params["submitKey"])
        if transaction is None or not transaction.accessible:
            raise Refused("txnNotFound")
        transaction.cancel_attempts += 1
        if transaction.form_status in _FINISHED:
            raise Refused("txnAlreadyFinished")
        transaction.abandon(params.get("reason"), params.get("milestones"), self.now())

    def query(self, options: dict[str, Any]) -> dict[str, object]:
        """Return what a query finds."""
        try:
            return query(options, [one for one in self.transactions.values() if one.accessible], self.now())
        except InvalidQueryError as error:
            raise Refused("invalidAttribute", detail=str(error)) from None
