"""Ocamba Hood: the campaigns of an account, and what cancelling one does."""

from collections.abc import Iterable
from typing import Any, Literal

import attrs

from omeda_async.sandbox._campaigns import InvalidListingError, SandboxCampaign, listed

_CANCELLABLE = ("running", "scheduled", "paused")
# Those that Ocamba's pages name (Create, Edit, Pause, Resume and Cancel a Campaign); no page lists them all.
STATUSES = (*_CANCELLABLE, "draft", "manual", "needs_decision", "sent", "canceled")


class Refused(Exception):
    """A request that Ocamba refuses, with its status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@attrs.define(kw_only=True)
class OcambaSandbox:
    """The emulated Ocamba account: its options and its campaigns. What it refuses is raised as ``Refused``."""

    token: str = attrs.field(repr=False)
    """The bearer token that is accepted; set another one to roll the key."""
    max_page_items: int = 1000
    """The most items a page may be asked for: assumed, the provider publishes none."""
    trace_ids: Literal["uuid", "empty", "off"] = "uuid"
    """Errors carry a ``trace_id``, the literal ``"{}"``, or none."""
    campaigns: dict[str, SandboxCampaign] = attrs.field(factory=dict)

    def seed_campaign(self, id: str, status: str = "running", **fields: Any) -> SandboxCampaign:  # noqa: A002 - the provider's word for it
        """Put a campaign in place.

        Raises:
            ValueError: The provider's pages know no such status.
        """
        if status not in STATUSES:
            raise ValueError(f"status must be one that Ocamba documents, {', '.join(STATUSES)}, not {status!r}")
        campaign = SandboxCampaign(str(id), status, **fields)
        self.campaigns[campaign.id] = campaign
        return campaign

    def seed_campaigns(self, ids: Iterable[str], status: str = "running") -> None:
        """Put many campaigns in place, all in one status.

        Raises:
            ValueError: The provider's pages know no such status.
        """
        for one in ids:
            self.seed_campaign(one, status)

    def reset(self) -> None:
        """Forget all campaigns."""
        self.campaigns.clear()

    def campaign(self, campaign_id: str) -> SandboxCampaign:
        """Return a campaign."""
        campaign = self.campaigns.get(campaign_id)
        if campaign is None:
            raise Refused(404, "The requested campaign was not found.")
        return campaign

    def cancel(self, campaign_id: str, reason: str | None) -> None:
        """Cancel a campaign."""
        campaign = self.campaign(campaign_id)
        campaign.cancel_attempts += 1
        if campaign.status not in _CANCELLABLE:
            raise Refused(400, "The campaign can not be canceled.")
        campaign.status, campaign.reason = "canceled", reason
        campaign.cancels += 1

    def page(self, query: dict[str, str]) -> dict[str, object]:
        """Return the page of campaigns that a query asks for."""
        try:
            return listed(self.campaigns.values(), query, self.max_page_items)
        except InvalidListingError as error:
            raise Refused(400, str(error)) from None
