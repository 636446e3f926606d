"""Ocamba Hood: campaigns, and the limits of one account."""

from collections.abc import Callable, Iterable
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal

import attrs

from omeda_async.sandbox._message import JSON, Answer, Incoming, json_answer

_CANCELLABLE = ("running", "scheduled", "paused")
_TITLES = {
    400: "Bad request.",
    401: "Unauthorized.",
    404: "Not found.",
    405: "Method not allowed.",
    429: "Too many requests.",
    500: "Internal server error.",
}
_BASE = ("v1", "hood", "campaigns")
_LIST_OPTIONS = frozenset({"page", "fields", "view", "sort", "q", "status"})


@attrs.define
class SandboxCampaign:
    """A campaign as the sandbox keeps it."""

    id: str
    status: str = "running"
    name: str = attrs.field(default=attrs.Factory(lambda self: f"Campaign {self.id}", takes_self=True))
    create_time: str = "2024-01-01 00:00:00"
    """GMT, ``YYYY-MM-DD HH:MM:SS``."""
    reason: str | None = None
    """The reason it was cancelled for."""
    cancels: int = 0
    """How often a cancel was applied to it; more than once never happens."""
    cancel_attempts: int = 0
    """How often a cancel for it was processed, applied or refused."""

    def view(self) -> dict[str, object]:
        """Return it as the provider shows it."""
        return {"id": self.id, "name": self.name, "status": self.status, "create_time": self.create_time}


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@attrs.define(kw_only=True)
class OcambaSandbox:
    """The state of the emulated Ocamba account, and its answers."""

    token: str = attrs.field(repr=False)
    """The bearer token that is accepted; set another one to roll the key."""
    new_id: Callable[[], str] = attrs.field(repr=False)
    now: Callable[[], datetime] = attrs.field(repr=False)
    max_page_items: int = 1000
    """The most items a page may be asked for: assumed, the provider publishes none."""
    trace_ids: Literal["uuid", "empty", "off"] = "uuid"
    """Errors carry a ``trace_id``, the literal ``"{}"``, or none."""
    campaigns: dict[str, SandboxCampaign] = attrs.field(factory=dict)

    name = "ocamba"

    def seed_campaign(self, id: str, status: str = "running", **fields: Any) -> SandboxCampaign:  # noqa: A002 - the provider's word for it
        """Put a campaign in place."""
        campaign = SandboxCampaign(str(id), status, **fields)
        self.campaigns[campaign.id] = campaign
        return campaign

    def seed_campaigns(self, ids: Iterable[str], status: str = "running") -> None:
        """Put many campaigns in place."""
        for one in ids:
            self.seed_campaign(one, status)

    def reset(self) -> None:
        """Forget all campaigns."""
        self.campaigns.clear()

    def operation(self, incoming: Incoming) -> str:
        """Name the operation that a request asks for."""
        match incoming.segments[len(_BASE) :]:
            case () if incoming.segments == _BASE:
                return "campaigns.list"
            case (_,) if incoming.segments[:3] == _BASE:
                return "campaigns.get"
            case (_, "cancel") if incoming.segments[:3] == _BASE:
                return "campaigns.cancel"
            case _:
                return "unknown"

    def ids(self, incoming: Incoming) -> tuple[str, ...]:
        """Return the campaign a request is about."""
        return incoming.segments[3:4]

    def answer(self, incoming: Incoming) -> Answer:
        """Process a request that the limits have admitted."""
        try:
            self._authenticate(incoming)
            return self._process(incoming)
        except _Refused as refusal:
            return self.failure(refusal.status, refusal.message)

    def failure(self, status: int, message: str | None = None) -> Answer:
        """Return an error in the documented format; a 500 has no message."""
        data: dict[str, object] = {"code": status, "title": _TITLES.get(status, "Error.")}
        if message is not None:
            data["message"] = message
        if self.trace_ids != "off":
            data["trace_id"] = "{}" if self.trace_ids == "empty" else self.new_id()
        return json_answer(status, data)

    def session_lost(self) -> Answer:
        """Return the answer to a key that has been rolled."""
        return self.failure(401, "The access token is not valid.")

    def _authenticate(self, incoming: Incoming) -> None:
        if incoming.headers.get("Authorization") != f"Bearer {self.token}":
            raise _Refused(401, "The access token is not valid.")

    def _process(self, incoming: Incoming) -> Answer:
        match incoming.operation, incoming.method:
            case "campaigns.list", "GET":
                return self._list(incoming.query)
            case "campaigns.get", "GET":
                return json_answer(200, {"total": 1, "items": [self._campaign(incoming).view()]})
            case "campaigns.cancel", "POST":
                return self._cancel(incoming)
            case "unknown", _:
                raise _Refused(404, "The requested resource was not found.")
            case _:
                raise _Refused(405, "The method is not allowed for the requested resource.")

    def _campaign(self, incoming: Incoming) -> SandboxCampaign:
        campaign = self.campaigns.get(incoming.segments[3])
        if campaign is None:
            raise _Refused(404, "The requested campaign was not found.")
        return campaign

    def _cancel(self, incoming: Incoming) -> Answer:
        body = incoming.json_object
        if body is None or not body.keys() <= {"reason"} or not isinstance(body.get("reason", ""), str):
            raise _Refused(400, "The request body is not valid.")
        campaign = self._campaign(incoming)
        campaign.cancel_attempts += 1
        if campaign.status not in _CANCELLABLE:
            raise _Refused(400, "The campaign can not be canceled.")
        campaign.status, campaign.reason = "canceled", body.get("reason")
        campaign.cancels += 1
        return Answer(204, b"", JSON)

    def _list(self, query: dict[str, str]) -> Answer:
        unknown = query.keys() - _LIST_OPTIONS
        if unknown:
            raise _Refused(400, f"Unknown parameter: {min(unknown)}.")
        number, size = self._page(query.get("page", "1,10"))
        wanted = query.get("q", "").lower()
        statuses = _statuses(query.get("status"))
        found = [
            campaign
            for campaign in self.campaigns.values()
            if wanted in campaign.name.lower() and (statuses is None or campaign.status in statuses)
        ]
        found = _sorted(found, query.get("sort", "-create_time"))
        items = [campaign.view() for campaign in found[(number - 1) * size : number * size]]
        return json_answer(200, {"total": len(found), "items": _only(items, query.get("fields"))})

    def _page(self, text: str) -> tuple[int, int]:
        number, _, size = text.partition(",")
        try:
            page = int(number), int(size or "10")
        except ValueError:
            raise _Refused(400, "The page parameter is not valid.") from None
        if page[0] < 1 or not 1 <= page[1] <= self.max_page_items:
            raise _Refused(400, "The page parameter is not valid.")
        return page


def _statuses(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    operator, colon, values = text.partition(":")
    if not colon:
        return frozenset({operator})
    if operator not in ("in", "eq"):
        raise _Refused(400, "The status filter is not valid.")
    return frozenset(values.split(","))


def _sorted(campaigns: list[SandboxCampaign], text: str) -> list[SandboxCampaign]:
    for key in reversed(text.split(",")):
        name = key.removeprefix("-")
        if name not in ("id", "name", "status", "create_time"):
            raise _Refused(400, "The sort parameter is not valid.")
        campaigns = sorted(campaigns, key=attrgetter(name), reverse=key.startswith("-"))
    return campaigns


def _only(items: list[dict[str, object]], fields: str | None) -> list[dict[str, object]]:
    if fields is None:
        return items
    wanted = set(fields.split(","))
    return [{key: value for key, value in item.items() if key in wanted} for item in items]
