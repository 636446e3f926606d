"""Journey Manager's operations: how requests are built, responses parsed, and lost cancels verified.

Every builder raises InvalidRecord where a field cannot be sent; it says which and why.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import orjson

from omeda_async._operation import Operation, Request, Response, Verdict, Verification, hits_everyone
from omeda_async.errors import ApiError, BadRequest, InvalidRecord, NotFound, OmedaAsyncError, ServerError, SessionLost
from omeda_async.providers._fields import check_id, check_integer, check_string
from omeda_async.providers._responses import NO_JSON, api_error, is_markup, load_json, lowered, unreadable, walk
from omeda_async.providers._structuring import set_fields
from omeda_async.providers.journey_manager._converter import CANCEL_WIRE, query_to_wire, transaction_from
from omeda_async.providers.journey_manager.models import (
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
_AN_ERROR: Final = re.compile(r"error|exception", re.IGNORECASE)
_READ: Final = 1_000_000
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
    for field in ("submit_key", "form_status"):
        if getattr(query, field) is not None:
            check_id(field, getattr(query, field))
    if not isinstance(query.attributes, tuple):
        raise InvalidRecord.of("attributes", "must be a list of names, not one string")
    for attribute in query.attributes:
        check_id("attributes", attribute)
    check_integer("fetch_limit", query.fetch_limit, least=1, most=MOST_ON_A_PAGE)
    check_integer("fetch_offset", query.fetch_offset, least=0, most=2**31 - 1)
    return Request("POST", f"{_TRANSACTIONS}/query", orjson.dumps(query_to_wire(query)), _JSON)


def parse_cancel(response: Response) -> TransactionReceipt | OmedaAsyncError:
    """Parse the response to a cancel: a success has no body, or JSON that holds no error."""
    if response.status in _SUCCESS and not response.body.strip():
        return TransactionReceipt()
    value = load_json(response.body)
    error = _failure(response, value)
    if error is None and (value is None or isinstance(value, dict | list)):
        return TransactionReceipt()
    return error or unreadable(response, "the body is neither empty nor a JSON object")


def parse_query(response: Response) -> TransactionPage | OmedaAsyncError:
    """Parse one page of transactions."""
    value = load_json(response.body)
    fields = lowered(value)
    rows, limit = fields.get("result"), fields.get("fetchlimit")
    if response.status == 200 and isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        return TransactionPage(
            items=tuple(map(transaction_from, rows)), fetch_limit=limit if type(limit) is int else None
        )
    return _failure(response, value, reads=True) or unreadable(response, "the response holds no list of transactions")


def _failure(response: Response, value: Any, *, reads: bool = False) -> OmedaAsyncError | None:
    """Return the error that a response holds; None for one that may be a success."""
    text = response.body[:_READ].decode("utf-8", "replace")
    if 300 <= response.status <= 399 or _EXPIRED.search(text):
        reason = "the session is lost: it has expired, or another login has ended it"
        return api_error(response, SessionLost, sent=False, message=reason)
    if response.accepted and is_markup(response):
        # A login page most likely; but a proxy's page may have taken the place of a success, which has no body.
        reason = "a page came instead of the response: most likely the session is lost"
        return api_error(response, SessionLost, sent=not reads, message=reason)
    if response.accepted or response.refused:
        parts = walk(value)
        key = _key_in(parts, text)
        if key is not None or response.refused:
            return _refusal(response, key, parts, text)
        if response.status in _SUCCESS and not _holds_an_error(value, parts):
            return None
    return unreadable(response, "the response is neither the documented success nor a known error")


def _key_in(parts: Parts, text: str) -> str | None:
    """Return the error key that stands anywhere in the JSON, or whose sentence stands in the text."""
    found = {name.casefold() for name, item in parts if item and name is not None}
    found.update(item.casefold() for _, item in parts if isinstance(item, str))
    named = next((key for folded, key in _KEY_OF.items() if folded in found), None)
    return named or next((key for key, sentence in _KEYS.items() if sentence.search(text)), None)


def _holds_an_error(value: Any, parts: Parts) -> bool:
    named = any(name is not None and item and _AN_ERROR.search(name) for name, item in parts)
    return named or lowered(value).get("success") is False


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
    match statuses.pop():
        case "abandoned":
            return Verdict.DONE
        case "completed":
            return Verdict.TOO_LATE
        case _:
            return Verdict.NOT_DONE


def question_of(record: TransactionCancel) -> TransactionQuery:
    """Return the query for the one transaction; its key lifts the restriction to recent, unfinished ones."""
    return TransactionQuery(submit_key=record.submit_key, attributes=("submitKey", "formStatus"), fetch_limit=10)


def is_unexplained(error: OmedaAsyncError) -> bool:
    """Whether a refusal means either completed or abandoned, without saying which."""
    return isinstance(error, ApiError) and error.code == FINISHED


QUERY: Final[Operation[TransactionQuery, TransactionPage]] = Operation(
    provider=PROVIDER,
    name="transactions.query",
    idempotent=True,
    build=build_query,
    parse=parse_query,
)
CANCEL: Final[Operation[TransactionCancel, TransactionReceipt]] = Operation(
    provider=PROVIDER,
    name="transactions.cancel",
    idempotent=True,
    build=build_cancel,
    parse=parse_cancel,
    verification=Verification(operation=QUERY, question=question_of, judge=judge_cancel),
    settled=lambda _record, _found: TransactionReceipt(settled=True),
    repeat_tells=False,  # "already finished" does not say whether completed or abandoned
    unexplained=is_unexplained,
    absent=lambda error: isinstance(error, ApiError) and error.code == "txnNotFound",
    # An unknown transaction is a 400 here: a 404 means that the URL is wrong (Journey Manager's page: error responses).
    hits_everyone=lambda error: isinstance(error, NotFound) or hits_everyone(error),
)
