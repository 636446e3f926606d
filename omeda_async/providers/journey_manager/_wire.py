"""Journey Manager's operations: how their requests are built, how their answers are read, how they are settled."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from omeda_async._operation import Operation, Request, Response, Verdict, Verification, hits_everyone
from omeda_async.errors import ApiError, BadRequest, NotFound, OmedaAsyncError, ServerError, SessionLost
from omeda_async.providers._answers import NO_JSON, Received, is_markup, load_json, lowered, walk
from omeda_async.providers.journey_manager._converter import (
    check_cancel,
    check_query,
    query_to_wire,
    to_wire,
    transaction_from,
)
from omeda_async.providers.journey_manager.models import (
    TransactionCancel,
    TransactionPage,
    TransactionQuery,
    TransactionReceipt,
)

PROVIDER: Final = "journey_manager"
FINISHED: Final = "txnAlreadyFinished"
_TRANSACTIONS: Final = "/secure/api/v1/txn"
_JSON: Final = {"Content-Type": "application/json"}

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
"""Characters of a body that are searched for sentences."""
_MOST_MESSAGES: Final = 20


def build_cancel(record: TransactionCancel) -> Request:
    """Build the request that cancels a transaction.

    Raises:
        InvalidRecord: Says which field cannot be sent and why.
    """
    check_cancel(record)
    return Request("POST", f"{_TRANSACTIONS}/cancel", orjson.dumps(to_wire(record)), _JSON)


def build_query(query: TransactionQuery) -> Request:
    """Build the request for one page of transactions.

    Raises:
        InvalidRecord: Says which field cannot be sent and why.
    """
    check_query(query)
    return Request("POST", f"{_TRANSACTIONS}/query", orjson.dumps(query_to_wire(query)), _JSON)


def parse_cancel(response: Response) -> TransactionReceipt | OmedaAsyncError:
    """Read the answer to a cancel: a success has no body, or JSON that holds no error."""
    received = Received(PROVIDER, "transactions.cancel", response.status, response.headers, response.body)
    value = load_json(response.body)
    error = _failure(received, value)
    if error is not None:
        return error
    if not response.body.strip() or value is None or isinstance(value, dict | list):
        return TransactionReceipt()
    return received.unreadable("neither empty nor a JSON object")


def parse_query(response: Response) -> TransactionPage | OmedaAsyncError:
    """Read one page of transactions."""
    received = Received(PROVIDER, "transactions.query", response.status, response.headers, response.body)
    value = load_json(response.body)
    fields = lowered(value)
    rows, limit = fields.get("result"), fields.get("fetchlimit")
    if response.status == 200 and isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        return TransactionPage(
            items=tuple(map(transaction_from, rows)), fetch_limit=limit if type(limit) is int else None
        )
    return _failure(received, value, reads=True) or received.unreadable("it holds no list of transactions")


def _failure(received: Received, value: Any, *, reads: bool = False) -> OmedaAsyncError | None:
    text = received.body[:_READ].decode("utf-8", "replace")
    if _session_lost(received, text):
        return received.error(
            SessionLost,
            sent=False,
            message="the session is lost: it has expired, or another login has ended it",
        )
    if received.accepted and is_markup(received.headers, received.body):
        # A login page most likely; but a proxy's page may have taken the place of a success, which has no body.
        return received.error(
            SessionLost,
            sent=not reads,
            message="a page came in the place of the answer: most likely the session is lost",
        )
    if received.accepted or received.refused:
        key = _key_in(value, text)
        if key is not None or received.refused:
            return _refusal(received, key, value, text)
        if received.status in {200, 204} and not _holds_an_error(value):
            return None
    return received.unreadable("neither the documented success nor a known error")


def _session_lost(received: Received, text: str) -> bool:
    return 300 <= received.status <= 399 or _EXPIRED.search(text) is not None


def _key_in(value: Any, text: str) -> str | None:
    named = [name for name, item in walk(value) if item and name is not None]
    texts = [item for _, item in walk(value) if isinstance(item, str)]
    found = {text.casefold() for text in named + texts}
    for folded, key in _KEY_OF.items():
        if folded in found:
            return key
    return next((key for key, sentence in _KEYS.items() if sentence.search(text)), None)


def _holds_an_error(value: Any) -> bool:
    return any(name is not None and item and _AN_ERROR.search(name) for name, item in walk(value)) or (
        lowered(value).get("success") is False
    )


def _refusal(received: Received, key: str | None, value: Any, text: str) -> ApiError:
    log_id = _LOG_ID.search(text)
    return received.error(
        _class_of(received.status, key),
        sent=True if key == "internalError" else None,
        messages=_messages_in(value, key, text),
        code=key,
        fields=_FIELDS.get(key or "", ()),
        error_log_id=log_id[1] if log_id else None,
    )


def _class_of(status: int, key: str | None) -> type[ApiError] | None:
    if key is None or status in {401, 403, 429}:
        return None
    return ServerError if key == "internalError" else BadRequest


def _messages_in(value: Any, key: str | None, text: str) -> tuple[str, ...]:
    if value is NO_JSON:
        return (text.strip(),) if key is not None else ()
    found = dict.fromkeys(item for _, item in walk(value) if isinstance(item, str) and " " in item.strip())
    return tuple(found)[:_MOST_MESSAGES] or ((key,) if key is not None else ())


def judge_cancel(record: TransactionCancel, found: TransactionPage | OmedaAsyncError) -> Verdict:
    """Return from a transaction's form status whether it is abandoned. One that is not shown proves nothing."""
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
    """Ask for the one transaction; its key lifts the provider's restriction to recent, unfinished ones."""
    return TransactionQuery(submit_key=record.submit_key, attributes=("submitKey", "formStatus"), fetch_limit=10)


def _settled_cancel(_: TransactionCancel, _found: Any) -> TransactionReceipt:
    return TransactionReceipt(settled=True)


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
    settled=_settled_cancel,
    repeat_tells=False,  # "already finished" does not say whether completed or abandoned
    unexplained=is_unexplained,
    absent=lambda error: isinstance(error, ApiError) and error.code == "txnNotFound",
    # An unknown transaction is a 400 here: a 404 means that the URL is wrong (Journey Manager's page: error responses).
    hits_everyone=lambda error: isinstance(error, NotFound) or hits_everyone(error),
)
