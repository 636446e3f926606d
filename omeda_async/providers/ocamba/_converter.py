"""Between Ocamba's models and its wire: names, records from mappings, and campaigns of responses."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from omeda_async.providers._responses import lowered, text_of
from omeda_async.providers._structuring import RecordReader
from omeda_async.providers.ocamba.models import Campaign, CampaignCancel

CANCEL_WIRE: Final[Mapping[str, str]] = MappingProxyType({"reason": "reason"})
"""The wire names of what the body of a cancel holds; the id is in its path."""
cancel_from: Final = RecordReader(CampaignCancel).read
"""Returns the ``CampaignCancel`` for a campaign id, a ``CampaignCancel``, or a mapping with its fields, or ``id``."""


def campaign_from(raw: Any) -> Campaign | None:
    """Return a campaign of a response; None if it has no id."""
    fields = lowered(raw)
    campaign_id = text_of(fields.get("id"))
    if campaign_id is None:
        return None
    return Campaign(
        id=campaign_id,
        name=text_of(fields.get("name")),
        status=text_of(fields.get("status")),
        create_time=read_time(fields.get("create_time")),
        scheduled_time=read_time(fields.get("scheduled_time")),
        raw=raw,
    )


def read_time(value: Any) -> datetime | None:
    """Return a time of a response, ``YYYY-MM-DD HH:MM:SS`` in GMT; None if it is not one."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.replace(tzinfo=UTC) if moment.utcoffset() is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
