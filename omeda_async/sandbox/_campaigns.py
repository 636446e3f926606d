"""Ocamba's campaigns, and the listing of them."""

from collections.abc import Iterable
from operator import attrgetter

import attrs

_OPTIONS = frozenset({"page", "fields", "view", "sort", "q", "status"})


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


class InvalidListingError(Exception):
    """A listing with an option that does not exist, or a value that it cannot have."""


def listed(campaigns: Iterable[SandboxCampaign], query: dict[str, str], most: int) -> dict[str, object]:
    """Return the page of campaigns that a query asks for.

    Args:
        campaigns: All there are.
        query: The options, as they stand in the URL.
        most: The most items that a page may be asked for.

    Raises:
        InvalidListingError: An option does not exist or has a wrong value.
    """
    unknown = query.keys() - _OPTIONS
    if unknown:
        raise InvalidListingError(f"Unknown parameter: {min(unknown)}.")
    number, size = _page(query.get("page", "1,10"), most)
    wanted = query.get("q", "").lower()
    statuses = _statuses(query.get("status"))
    matching = [
        campaign
        for campaign in campaigns
        if wanted in campaign.name.lower() and (statuses is None or campaign.status in statuses)
    ]
    found = _sorted(matching, query.get("sort", "-create_time"))
    items = [campaign.view() for campaign in found[(number - 1) * size : number * size]]
    return {"total": len(found), "items": _only(items, query.get("fields"))}


def _page(text: str, most: int) -> tuple[int, int]:
    number, _, size = text.partition(",")
    try:
        page = int(number), int(size or "10")
    except ValueError:
        raise InvalidListingError("The page parameter is not valid.") from None
    if page[0] < 1 or not 1 <= page[1] <= most:
        raise InvalidListingError("The page parameter is not valid.")
    return page


def _statuses(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    operator, colon, values = text.partition(":")
    if not colon:
        return frozenset({operator})
    if operator not in ("in", "eq"):
        raise InvalidListingError("The status filter is not valid.")
    return frozenset(values.split(","))


def _sorted(campaigns: list[SandboxCampaign], text: str) -> list[SandboxCampaign]:
    for key in reversed(text.split(",")):
        name = key.removeprefix("-")
        if name not in ("id", "name", "status", "create_time"):
            raise InvalidListingError("The sort parameter is not valid.")
        campaigns = sorted(campaigns, key=attrgetter(name), reverse=key.startswith("-"))
    return campaigns


def _only(items: list[dict[str, object]], fields: str | None) -> list[dict[str, object]]:
    if fields is None:
        return items
    wanted = set(fields.split(","))
    return [{key: value for key, value in item.items() if key in wanted} for item in items]
