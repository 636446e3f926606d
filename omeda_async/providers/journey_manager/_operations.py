"""Journey Manager's operations: how requests are built, responses parsed, and lost cancels verified.

Every builder raises InvalidRecord where a field cannot be sent; it says which and why.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeGuard

import orjson

from omeda_async._operation import Operation, Request, Response, Verdict, Verification, hits_everyone, reads_only
from omeda_async.errors import ApiError, BadRequest, NotFound, OmedaAsyncError, ServerError, SessionLost
from omeda_async.providers._fields import check_id, check_integer, check_string, check_text, check_texts
from omeda_async.providers._models import Answer
from omeda_async.providers._responses import (
    MOST_ON_PAGES,
    NO_JSON,
    api_error,
    is_page,
    judge,
    load_json,
    lowered,
    unreadable,
    walk,
    where_to,
)
from omeda_async.providers._structuring import set_fields
from omeda_async.providers.journey_manager._converter import CANCEL_WIRE, query_to_wire, transaction_from
from omeda_async.providers.journey_manager.models import (
    Transaction,
    TransactionCancel,
    TransactionPage,
    TransactionQuery,
    TransactionReceipt,
)

PROVIDER: Final = "journey_manager"
FINISHED: Final = "txnAlreadyFinished"
MOST_ON_A_PAGE: Final = 10_000
_TRANSACTIONS: Final = "/secure/api/v1/txn"
_JSON: Final = {"Content-Type": "application/json"}
_SUCCESS: Final = frozenset({200, 204})

# Error keys with the English sentence of each, the most telling first.
_KEYS: Final[Mapping[str, re.Pattern[str]]] = {
    FINISHED: re.compile(r"transaction has already been finished", re.IGNORECASE),
    "txnNotFound": re.compile(r"specified by the submitKey was not found", re.IGNORECASE),
    "submitKeyNotSpecified": re.compile(r"submitKey not specified", re.IGNORECASE),
    "internalError": re.compile(r"\bsee Error Log ID\b", re.IGNORECASE),
}
_KEY_OF: Final = {key.casefold(): key for key in _KEYS}
_FIELDS: Final = {"txnNotFound": ("submitKey",), "submitKeyNotSpecified": ("submitKey",)}
_LOG_ID: Final = re.compile(r"\bError Log ID\W{0,5}([0-9A-Za-z][0-9A-Za-z-]{0,99})", re.IGNORECASE)
_EXPIRED: Final = re.compile(r"\bsession has (?:been )?expired\b", re.IGNORECASE)
_AN_ERROR: Final = re.compile(r"error|exception|fault|fail|denied|reject|refus|problem|warning")
_KEY_ASKED_FOR: Final = "submitkey"
_SAYING: Final = frozenset(
    {"success", "successful", "succeeded", "ok", "done", "cancelled", "canceled", "abandoned", "status", "statuscode"}
    | {"code", "httpstatus", "result", "outcome", "state", "formstatus", "message", "msg", "text", "description"}
)
"""Properties, in lower case, under which a success may be told."""
_DECISIVE: Final = frozenset({"success", "successful", "succeeded", "ok", "done", "cancelled", "canceled", "abandoned"})
"""Those of them that are asked whether it was one."""
_CANCELLED: Final = re.compile(
    r"true|yes|1|200|(?:200 )?ok(?:ay)?|success(?:ful(?:ly)?)?|succeeded|done"
    r"|(?:(?:the )?(?:transaction|txn|request|operation) )?(?:(?:has been|was|is) )?(?:successfully )?"
    r"(?:cancell?ed|abandoned|successful)(?: successfully)?[.!]?",
    re.IGNORECASE,
)
_NEITHER: Final = "the response is neither the documented success nor a known error"
_READ: Final = 100_000
"""Bytes of a body that are searched for sentences."""
_MOST_MESSAGES: Final = 20


Parts: TypeAlias = list[tuple[str | None, Any]]
"""Every property name and value of a JSON body."""


def build_cancel(record: TransactionCancel) -> Request:
    """Return the request that cancels a transaction."""
    check_id("submit_key", record.submit_key)
    if record.reason is not None:
        check_string("reason", record.reason)
    if record.milestones is not None:
        check_string("milestones", record.milestones)
    return Request("POST", f"{_TRANSACTIONS}/cancel", orjson.dumps({"params": set_fields(record, CANCEL_WIRE)}), _JSON)


def build_query(query: TransactionQuery) -> Request:
    """Return the request for one page of transactions."""
    if query.submit_key is not None:
        check_id("submit_key", query.submit_key)
    if query.form_status is not None:
        check_text("form_status", query.form_status)
    check_texts("attributes", query.attributes, "names")
    check_integer("fetch_limit", query.fetch_limit, least=1, most=MOST_ON_A_PAGE)
    check_integer("fetch_offset", query.fetch_offset, least=0, most=2**31 - 1)
    return Request("POST", f"{_TRANSACTIONS}/query", orjson.dumps(query_to_wire(query)), _JSON)


def parse_cancel(response: Response) -> TransactionReceipt | OmedaAsyncError:
    """Parse the response to a cancel: a success has no body, or JSON that holds no error."""
    if response.status in _SUCCESS and not response.body.strip():
        return TransactionReceipt(raw=Answer())
    value = load_json(response.body)
    error = _failure(response, value)
    if error is None and (value is None or isinstance(value, dict | list)):
        return TransactionReceipt(raw=Answer(value if isinstance(value, dict) else {}))
    return error or unreadable(response, "the body is neither empty nor a JSON object")


def parse_query(response: Response) -> TransactionPage | OmedaAsyncError:
    """Parse one page of transactions."""
    fields = lowered(load_json(response.body, most=MOST_ON_PAGES))
    rows, limit = fields.get("result"), fields.get("fetchlimit")
    if response.status == 200 and _are_rows(rows):
        return TransactionPage(
            items=tuple(map(transaction_from, rows)), fetch_limit=limit if type(limit) is int else None
        )
    error = _failure(response, load_json(response.body), reads=True)
    return error or unreadable(response, "the response holds no list of transactions")


def _are_rows(rows: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(rows, list) and len(rows) <= MOST_ON_A_PAGE and all(isinstance(row, dict) for row in rows)


def _failure(response: Response, value: Any, *, reads: bool = False) -> OmedaAsyncError | None:
    """Return the error that a response holds; None for one that may be a success."""
    text = response.body[:_READ].decode("utf-8", "replace")
    if shut_out := _shut_out(response, text, reads=reads):
        return shut_out
    if response.accepted or response.refused:
        parts = walk(value)
        key = _key_in(parts, text)
        if key is not None or response.refused:
            return _refusal(response, key, parts, text)
        if response.status in _SUCCESS and _is_nothing_but_success(parts):
            return None
    return unreadable(response, _NEITHER)


def _shut_out(response: Response, text: str, *, reads: bool) -> OmedaAsyncError | None:
    """Return the error of a response that comes from what is in front of the API; None for any other."""
    redirected, words = 300 <= response.status <= 399, None
    if _EXPIRED.search(text):
        words = "it has expired, or another login has ended it"
    elif redirected and response.in_session:
        words = f"it has expired, or was never there; {where_to(response)}"
    if words is not None:
        return api_error(response, SessionLost, sent=False, message=f"the session is lost: {words}")
    if not redirected and not (response.accepted and is_page(response)):
        return None
    if not response.in_session:
        return unreadable(response, _NEITHER)
    # A login page most likely; but a proxy's page may have taken the place of a success, which has no body.
    reason = "a page came instead of the response: most likely the session is lost"
    return api_error(response, SessionLost, sent=not reads, message=reason)


def _key_in(parts: Parts, text: str) -> str | None:
    """Return the error key that stands anywhere in the JSON, or whose sentence stands in the text."""
    found = {name.casefold() for name, item in parts if item and name is not None}
    found.update(item.casefold() for _, item in parts if isinstance(item, str))
    named = next((key for folded, key in _KEY_OF.items() if folded in found), None)
    return named or next((key for key, sentence in _KEYS.items() if sentence.search(text)), None)


def _is_nothing_but_success(parts: Parts) -> bool:
    """Whether JSON says that the cancel was carried out, or nothing at all. The page on it shows no body."""
    return all(_is_harmless((name or "").casefold(), item) for name, item in parts)


def _is_harmless(name: str, item: Any) -> bool:
    if name in _DECISIVE and item in (None, "", [], {}):
        return False  # asked whether it was successful, it says nothing
    if item is None or item == "" or (isinstance(item, dict | list) and not (item and _AN_ERROR.search(name))):
        return True
    if _AN_ERROR.search(name):
        return item is False or item == 0
    if name == _KEY_ASKED_FOR:
        return isinstance(item, str)
    if isinstance(item, str):
        return (not name or name in _SAYING) and _CANCELLED.fullmatch(item.strip()) is not None
    return name in _SAYING and (item is True or (type(item) is int and item == (1 if name in _DECISIVE else 200)))


def _refusal(response: Response, key: str | None, parts: Parts, text: str) -> ApiError:
    log_id = _LOG_ID.search(text)
    return api_error(
        response,
        _class_of(response.status, key),
        sent=None if key is None else key == "internalError",
        messages=_messages_in(parts, key, text),
        code=key,
        fields=_FIELDS.get(key or "", ()),
        error_log_id=log_id[1] if log_id else None,
    )


def _class_of(status: int, key: str | None) -> type[ApiError] | None:
    if key is None or status in {401, 403, 429}:
        return None
    return ServerError if key == "internalError" else BadRequest


def _messages_in(parts: Parts, key: str | None, text: str) -> tuple[str, ...]:
    if parts[0][1] is NO_JSON:
        return (text.strip(),) if key is not None else ()
    found = dict.fromkeys(item for _, item in parts if isinstance(item, str) and " " in item.strip())
    return tuple(found)[:_MOST_MESSAGES] or ((key,) if key is not None else ())


def judge_cancel(record: TransactionCancel, found: TransactionPage | OmedaAsyncError) -> Verdict:
    """Return what a transaction's form status says of its cancel. One that is not shown proves nothing."""
    rows = found.items if isinstance(found, TransactionPage) else ()
    statuses = {(row.form_status or "").strip().casefold() for row in rows if row.submit_key == record.submit_key}
    if len(statuses) != 1 or "" in statuses:
        return Verdict.UNDECIDED
    return judge(statuses.pop(), done={"abandoned"}, too_late={"completed"}, under_way="abandon")


def names_no_other(record: TransactionCancel, _: TransactionReceipt, response: Response) -> bool:
    """Whether a success that names transactions names this one only."""
    parts = walk(load_json(response.body)) if response.body else []
    return all(item == record.submit_key for name, item in parts if item and (name or "").casefold() == _KEY_ASKED_FOR)


def rows_asked_for(query: TransactionQuery, page: TransactionPage) -> tuple[Transaction, ...]:
    """Return the transactions on a page that may be what was asked for: those of another key are not."""
    if query.submit_key is None:
        return page.items
    asked = query.submit_key.casefold()
    return tuple(row for row in page.items if row.submit_key is None or row.submit_key.strip().casefold() == asked)


def shows_no_other(query: TransactionQuery, page: TransactionPage, _: Response) -> bool:
    """Whether a page is empty, or holds anything of what was asked for."""
    return not page.items or bool(rows_asked_for(query, page))


def question_of(record: TransactionCancel) -> TransactionQuery:
    """Return the query for the one transaction; its key lifts the restriction to recent, unfinished ones."""
    return TransactionQuery(submit_key=record.submit_key, attributes=("submitKey", "formStatus"), fetch_limit=10)


def is_unexplained(error: OmedaAsyncError) -> bool:
    """Whether a refusal means either completed or abandoned, without saying which."""
    return isinstance(error, ApiError) and error.code == FINISHED


QUERY: Final[Operation[TransactionQuery, TransactionPage]] = Operation(
    provider=PROVIDER,
    name="transactions.query",
    method="POST",
    path=f"{_TRANSACTIONS}/query",
    records=reads_only,
    idempotent=True,
    build=build_query,
    parse=parse_query,
    confirms=shows_no_other,
)
CANCEL: Final[Operation[TransactionCancel, TransactionReceipt]] = Operation(
    provider=PROVIDER,
    name="transactions.cancel",
    method="POST",
    path=f"{_TRANSACTIONS}/cancel",
    idempotent=True,
    build=build_cancel,
    parse=parse_cancel,
    confirms=names_no_other,
    verification=Verification(operation=QUERY, question=question_of, judge=judge_cancel),
    settled=lambda _record, _found: TransactionReceipt(settled=True),
    repeat_tells=False,  # "already finished" does not say whether completed or abandoned
    unexplained=is_unexplained,
    absent=lambda error: isinstance(error, ApiError) and error.code == "txnNotFound",
    # An unknown transaction is a 400 here: a 404 means that the URL is wrong (Journey Manager's page: error responses).
    hits_everyone=lambda error: isinstance(error, NotFound) or hits_everyone(error),
)
