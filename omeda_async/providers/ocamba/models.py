"""What Ocamba Hood is given and what it gives back, under Python names.

Making one of these never fails for what it holds: everything is checked where it is about to be sent.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, SupportsIndex, TypeAlias

import attrs

from omeda_async._masking import masked_repr
from omeda_async.providers._models import UNKEPT, to_id, to_tuple


@attrs.frozen
class CampaignCancel:
    """A campaign to cancel, for good."""

    campaign_id: str = attrs.field(repr=masked_repr, converter=to_id)
    """Takes an integer too."""
    reason: str | None = attrs.field(default=None, repr=masked_repr)
    """Why, for Ocamba's record of it."""
    key: str | int | None = attrs.field(default=None, repr=masked_repr, eq=False)
    """The caller's own name for this record; not sent."""


CampaignRecord: TypeAlias = str | SupportsIndex | CampaignCancel | Mapping[Any, Any]
"""What stands for a campaign to cancel: its id, a model, or a mapping of its fields."""


@attrs.frozen
class CampaignReceipt:
    """Ocamba's word that a campaign is cancelled; its response holds nothing."""

    settled: bool = attrs.field(default=False, kw_only=True)
    """True: the response was lost, and a read has shown since that it was done."""
    raw: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True, eq=False, repr=False, metadata=UNKEPT)
    """The whole response as it came, which cannot be changed, and is empty if it had no body; None where a read has
    settled it, or in an outcome from a journal."""


@attrs.frozen(kw_only=True)
class Campaign:
    """A campaign as Ocamba shows it. What the response does not hold is None."""

    id: str
    name: str | None = attrs.field(default=None, repr=masked_repr)
    status: str | None = None
    """An open set: draft, manual, scheduled, running, paused, needs_decision, sent, canceled and more."""
    create_time: datetime | None = None
    scheduled_time: datetime | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """The whole object, as Ocamba gave it."""


@attrs.frozen(kw_only=True)
class CampaignQuery:
    """What to ask for in a list of campaigns."""

    statuses: tuple[str, ...] = attrs.field(default=(), converter=to_tuple)
    """Only campaigns in one of these; takes any iterable, and an empty one means all."""
    search: str | None = attrs.field(default=None, repr=masked_repr)
    """A text to search for (``q``)."""
    sort: str = "create_time"
    """Names separated by commas, a minus before one that descends. Pages shift least in order of creation."""
    page: int = 1
    """Counted from 1."""
    page_size: int = 50
    """Campaigns on a page."""


@attrs.frozen(kw_only=True)
class CampaignPage:
    """One page of a list of campaigns."""

    items: tuple[Campaign, ...] = ()
    total: int | None = None
    """How many there are on all pages; None when the response does not say."""
