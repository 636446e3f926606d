"""The one converter between Ocamba's models and its wire, and records from mappings."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from cattrs.preconf.orjson import OrjsonConverter

from omeda_async.providers._answers import lowered, text_of
from omeda_async.providers._records import (
    check_id,
    check_text,
    make_strict_converter,
    register_wire_names,
    structure_record,
)
from omeda_async.providers.ocamba.models import Campaign, CampaignCancel

_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"campaign_id": "campaign_id", "id": "campaign_id", "reason": "reason", "key": "key"}
)


def make_converter() -> OrjsonConverter:
    """Make the converter: the wire has the reason only, as the id is in the path."""
    converter = make_strict_converter()
    register_wire_names(converter, CampaignCancel, {"reason": "reason"})
    return converter


_converter = make_converter()


def to_wire(record: CampaignCancel) -> dict[str, Any]:
    """Return a record that has been checked as the JSON object it is on the wire."""
    body: dict[str, Any] = _converter.unstructure(record)
    return body


def check_cancel(record: CampaignCancel) -> None:
    """Check a campaign to cancel.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    check_id("campaign_id", record.campaign_id)
    if record.reason is not None:
        check_text("reason", record.reason)


def cancel_from(obj: Any) -> CampaignCancel:
    """Make a campaign to cancel of what a caller gives for one, and check it.

    Args:
        obj: A campaign id, a ``CampaignCancel``, or a mapping with its fields, or ``id``.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    if isinstance(obj, Mapping):
        record = structure_record(_converter, CampaignCancel, _NAMES, obj)
    else:
        record = obj if isinstance(obj, CampaignCancel) else CampaignCancel(obj)
    check_cancel(record)
    return record


def campaign_from(raw: Any) -> Campaign | None:
    """Read a campaign of an answer; None when it has no id."""
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
    """Read a time of an answer, ``YYYY-MM-DD HH:MM:SS`` in GMT; None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.replace(tzinfo=UTC) if moment.utcoffset() is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
