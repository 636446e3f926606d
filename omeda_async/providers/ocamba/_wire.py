"""Ocamba's operations: how their requests are built, how their answers are read, how they are settled."""

from typing import Any, Final

import attrs
import orjson

from omeda_async._operation import Operation, Request, Response, Verdict, Verification
from omeda_async.errors import BadRequest, Conflict, InvalidRecord, OmedaAsyncError
from omeda_async.providers._answers import Received, load_json, lowered, text_of
from omeda_async.providers._records import check_id, check_text, path_segment, query_value
from omeda_async.providers.ocamba._converter import campaign_from, check_cancel, to_wire
from omeda_async.providers.ocamba.models import (
    Campaign,
    CampaignCancel,
    CampaignPage,
    CampaignQuery,
    CampaignReceipt,
)

PROVIDER: Final = "ocamba"
_CAMPAIGNS: Final = "/v1/hood/campaigns"
_JSON: Final = {"Content-Type": "application/json"}


@attrs.frozen(kw_only=True)
class GetCampaign:
    """The parameters of ``campaigns.get``."""

    campaign_id: str


def build_cancel(record: CampaignCancel) -> Request:
    """Build the request that cancels a campaign; its body is always a JSON object.

    Raises:
        InvalidRecord: Says which field cannot be sent and why.
    """
    check_cancel(record)
    path = f"{_CAMPAIGNS}/{path_segment('campaign_id', record.campaign_id)}/cancel"
    return Request("POST", path, orjson.dumps(to_wire(record)), _JSON)


def build_get(params: GetCampaign) -> Request:
    """Build the request that reads a campaign.

    Raises:
        InvalidRecord: The id cannot be sent.
    """
    return Request("GET", f"{_CAMPAIGNS}/{path_segment('campaign_id', params.campaign_id)}")


def build_list(query: CampaignQuery) -> Request:
    """Build the request for one page of campaigns.

    Raises:
        InvalidRecord: Says which field cannot be sent and why.
    """
    _check_query(query)
    parts = [f"page={query.page},{query.page_size}", f"sort={query_value(query.sort)}"]
    if query.statuses:
        parts.append(f"status=in:{','.join(map(query_value, query.statuses))}")
    if query.search is not None:
        parts.append(f"q={query_value(query.search)}")
    return Request("GET", f"{_CAMPAIGNS}?{'&'.join(parts)}")


def _check_query(query: CampaignQuery) -> None:
    for field in ("page", "page_size"):
        value = getattr(query, field)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidRecord.of(field, "must be an integer from 1 on")
    check_id("sort", query.sort)
    if query.search is not None:
        check_text("search", query.search)
    if not isinstance(query.statuses, tuple):
        raise InvalidRecord.of("statuses", "must be a list of statuses, not one string")
    for status in query.statuses:
        check_id("statuses", status)


def parse_cancel(response: Response) -> CampaignReceipt | OmedaAsyncError:
    """Read the answer to a cancel: 204 is the success, whatever its content type says of a body it has not."""
    received = Received(PROVIDER, "campaigns.cancel", response.status, response.headers, response.body)
    return CampaignReceipt() if response.status == 204 else _failure(received, "only a 204 says that it is cancelled")


def parse_get(response: Response) -> Campaign | OmedaAsyncError:
    """Read a campaign: an envelope with one item, or the campaign as it is."""
    received = Received(PROVIDER, "campaigns.get", response.status, response.headers, response.body)
    if not received.accepted:
        return _failure(received, "it shows no campaign")
    value = load_json(response.body)
    items = lowered(value).get("items", [value])
    campaigns = [campaign_from(item) for item in items] if isinstance(items, list) else []
    if len(campaigns) == 1 and campaigns[0] is not None:
        return campaigns[0]
    return received.unreadable("it does not show one campaign")


def parse_list(response: Response) -> CampaignPage | OmedaAsyncError:
    """Read one page of campaigns."""
    received = Received(PROVIDER, "campaigns.list", response.status, response.headers, response.body)
    if not received.accepted:
        return _failure(received, "it shows no campaigns")
    fields = lowered(load_json(response.body))
    items = fields.get("items")
    campaigns = [campaign_from(item) for item in items] if isinstance(items, list) else [None]
    whole = tuple(campaign for campaign in campaigns if campaign is not None)
    if len(whole) != len(campaigns):
        return received.unreadable("it holds no list of campaigns with their ids")
    total = fields.get("total")
    return CampaignPage(items=whole, total=total if type(total) is int else None)


def _failure(received: Received, reason: str) -> OmedaAsyncError:
    if not received.refused:
        return received.unreadable(reason)
    fields = lowered(load_json(received.body))
    title, message = text_of(fields.get("title")), text_of(fields.get("message"))
    trace_id = text_of(fields.get("trace_id"))
    return received.error(
        message=message or title,
        messages=tuple(text for text in (title, message) if text is not None),
        # Other APIs of the vendor give the literal "{}" for none.
        trace_id=None if trace_id == "{}" else trace_id,
    )


def judge_cancel(record: CampaignCancel, found: Campaign | OmedaAsyncError) -> Verdict:
    """Return from a campaign's status whether it is cancelled."""
    if not isinstance(found, Campaign) or found.id != record.campaign_id or found.status is None:
        return Verdict.UNDECIDED
    match found.status.strip().casefold():
        case "canceled" | "cancelled":
            return Verdict.DONE
        case "sent":
            return Verdict.TOO_LATE
        case _:
            return Verdict.NOT_DONE


def _settled_cancel(_: CampaignCancel, _found: Any) -> CampaignReceipt:
    return CampaignReceipt(settled=True)


GET: Final[Operation[GetCampaign, Campaign]] = Operation(
    provider=PROVIDER,
    name="campaigns.get",
    idempotent=True,
    build=build_get,
    parse=parse_get,
)
LIST: Final[Operation[CampaignQuery, CampaignPage]] = Operation(
    provider=PROVIDER,
    name="campaigns.list",
    idempotent=True,
    build=build_list,
    parse=parse_list,
)
CANCEL: Final[Operation[CampaignCancel, CampaignReceipt]] = Operation(
    provider=PROVIDER,
    name="campaigns.cancel",
    idempotent=True,
    build=build_cancel,
    parse=parse_cancel,
    verification=Verification(
        operation=GET,
        question=lambda record: GetCampaign(campaign_id=record.campaign_id),
        judge=judge_cancel,
    ),
    settled=_settled_cancel,
    repeat_tells=False,  # a repeat is a plain 400, which says nothing
    unexplained=lambda error: isinstance(error, BadRequest | Conflict),
)
