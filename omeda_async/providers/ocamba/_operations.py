"""Ocamba's operations: how requests are built, responses parsed, and lost cancels verified.

Every builder raises InvalidRecord where a field cannot be sent; it says which and why.
"""

from typing import Final

import attrs
import orjson

from omeda_async._operation import Operation, Request, Response, Verdict, Verification, reads_only
from omeda_async.errors import BadRequest, Conflict, OmedaAsyncError
from omeda_async.providers._fields import (
    check_integer,
    check_string,
    check_text,
    check_texts,
    path_segment,
    query_value,
)
from omeda_async.providers._models import Answer, to_id
from omeda_async.providers._responses import MOST_ON_PAGES, api_error, judge, load_json, lowered, text_of, unreadable
from omeda_async.providers._structuring import set_fields
from omeda_async.providers.ocamba._converter import CANCEL_WIRE, campaign_from
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

    campaign_id: str = attrs.field(converter=to_id)


def build_cancel(record: CampaignCancel) -> Request:
    """Return the request that cancels a campaign; its body is always a JSON object."""
    path = f"{_CAMPAIGNS}/{path_segment('campaign_id', record.campaign_id)}/cancel"
    if record.reason is not None:
        check_string("reason", record.reason)
    return Request("POST", path, orjson.dumps(set_fields(record, CANCEL_WIRE)), _JSON)


def build_get(params: GetCampaign) -> Request:
    """Return the request that reads a campaign."""
    return Request("GET", f"{_CAMPAIGNS}/{path_segment('campaign_id', params.campaign_id)}")


def build_list(query: CampaignQuery) -> Request:
    """Return the request for one page of campaigns."""
    check_integer("page", query.page, least=1)
    check_integer("page_size", query.page_size, least=1)
    check_text("sort", query.sort)
    if query.search is not None:
        check_string("search", query.search)
    check_texts("statuses", query.statuses, "statuses")
    parts = [f"page={query.page},{query.page_size}", f"sort={query_value(query.sort)}"]
    if query.statuses:
        parts.append(f"status=in:{','.join(map(query_value, query.statuses))}")
    if query.search is not None:
        parts.append(f"q={query_value(query.search)}")
    return Request("GET", f"{_CAMPAIGNS}?{'&'.join(parts)}")


def parse_cancel(response: Response) -> CampaignReceipt | OmedaAsyncError:
    """Parse the response to a cancel: a 204 is the success, and has no body whatever its content type says."""
    if response.status == 204:
        return CampaignReceipt(raw=Answer())
    return _failure(response, "only a 204 means that the campaign is cancelled")


def parse_get(response: Response) -> Campaign | OmedaAsyncError:
    """Parse a campaign: an envelope with one item, or the campaign as it is."""
    if not response.accepted:
        return _failure(response, "the response shows no campaign")
    value = load_json(response.body)
    items = lowered(value).get("items", [value])
    campaigns = [campaign_from(item) for item in items] if isinstance(items, list) else []
    if len(campaigns) == 1 and campaigns[0] is not None:
        return campaigns[0]
    return unreadable(response, "the response does not show exactly one campaign")


def parse_list(response: Response) -> CampaignPage | OmedaAsyncError:
    """Parse one page of campaigns."""
    if not response.accepted:
        return _failure(response, "the response shows no campaigns")
    fields = lowered(load_json(response.body, most=MOST_ON_PAGES))
    items, total = fields.get("items"), fields.get("total")
    campaigns = [campaign_from(item) for item in items] if isinstance(items, list) else [None]
    whole = tuple(campaign for campaign in campaigns if campaign is not None)
    if len(whole) != len(campaigns):
        return unreadable(response, "the response holds no list of campaigns with their ids")
    return CampaignPage(items=whole, total=total if type(total) is int else None)


def _failure(response: Response, reason: str) -> OmedaAsyncError:
    if not response.refused:
        return unreadable(response, reason)
    fields = lowered(load_json(response.body))
    title, message = text_of(fields.get("title")), text_of(fields.get("message"))
    trace_id = text_of(fields.get("trace_id"))
    return api_error(
        response,
        message=message or title,
        messages=tuple(text for text in (title, message) if text is not None),
        # Other APIs of the vendor send the literal "{}" for none.
        trace_id=None if trace_id == "{}" else trace_id,
    )


def judge_cancel(record: CampaignCancel, found: Campaign | OmedaAsyncError) -> Verdict:
    """Return what a campaign's status says of its cancel."""
    if not isinstance(found, Campaign) or found.id != record.campaign_id or found.status is None:
        return Verdict.UNDECIDED
    return judge(found.status, done={"canceled", "cancelled"}, too_late={"sent"}, under_way="cancel")


GET: Final[Operation[GetCampaign, Campaign]] = Operation(
    provider=PROVIDER,
    name="campaigns.get",
    method="GET",
    path=f"{_CAMPAIGNS}/{{campaign_id}}",
    records=reads_only,
    idempotent=True,
    build=build_get,
    parse=parse_get,
    confirms=lambda params, found, _: found.id == params.campaign_id,
)
LIST: Final[Operation[CampaignQuery, CampaignPage]] = Operation(
    provider=PROVIDER,
    name="campaigns.list",
    method="GET",
    path=_CAMPAIGNS,
    records=reads_only,
    idempotent=True,
    build=build_list,
    parse=parse_list,
)
CANCEL: Final[Operation[CampaignCancel, CampaignReceipt]] = Operation(
    provider=PROVIDER,
    name="campaigns.cancel",
    method="POST",
    path=f"{_CAMPAIGNS}/{{campaign_id}}/cancel",
    idempotent=True,
    build=build_cancel,
    parse=parse_cancel,
    verification=Verification(
        operation=GET,
        question=lambda record: GetCampaign(campaign_id=record.campaign_id),
        judge=judge_cancel,
    ),
    settled=lambda _record, _found: CampaignReceipt(settled=True),
    repeat_tells=False,  # a repeat is a plain 400, which says nothing
    unexplained=lambda error: isinstance(error, BadRequest | Conflict),
)
