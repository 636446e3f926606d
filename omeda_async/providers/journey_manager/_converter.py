"""The one converter between Journey Manager's models and its wire, and records from mappings."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cattrs.preconf.orjson import OrjsonConverter

from omeda_async.errors import InvalidRecord
from omeda_async.providers._answers import lowered, text_of
from omeda_async.providers._records import (
    check_id,
    check_text,
    make_strict_converter,
    register_wire_names,
    structure_record,
)
from omeda_async.providers.journey_manager.models import Transaction, TransactionCancel, TransactionQuery

MOST_ON_A_PAGE: Final = 10_000
_WIRE: Final[Mapping[str, str]] = MappingProxyType(
    {"milestones": "milestones", "reason": "reason", "submit_key": "submitKey"}
)
_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {**{name: name for name in _WIRE}, "submitKey": "submit_key", "id": "submit_key", "key": "key"}
)


def make_converter() -> OrjsonConverter:
    """Make the converter: nothing that is unset goes out, as an attribute too many is refused."""
    converter = make_strict_converter()
    register_wire_names(converter, TransactionCancel, _WIRE)
    return converter


_converter = make_converter()


def to_wire(record: TransactionCancel) -> dict[str, Any]:
    """Return a record that has been checked as the JSON object it is on the wire."""
    params: dict[str, Any] = _converter.unstructure(record)
    return {"params": params}


def query_to_wire(query: TransactionQuery) -> dict[str, Any]:
    """Return a checked query as the JSON object it is on the wire: values as parameters, never in criteria."""
    filtered = {"submitKey": query.submit_key, "formStatus": query.form_status}
    values = {name: value for name, value in filtered.items() if value is not None}
    body: dict[str, Any] = {"fetchLimit": query.fetch_limit, "fetchOffset": query.fetch_offset}
    if query.attributes:
        body["attributes"] = list(query.attributes)
    if values:
        criteria = [f"{name} = {{{position}}}" for position, name in enumerate(values)]
        body["filters"] = [{"criteria": criteria, "params": list(values.values()), "operator": "AND"}]
    body["sorts"] = ["submitKey asc"]
    return body


def check_cancel(record: TransactionCancel) -> None:
    """Check a transaction to cancel.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    check_id("submit_key", record.submit_key)
    if record.reason is not None:
        check_text("reason", record.reason)
    if record.milestones is not None:
        check_text("milestones", record.milestones)


def check_query(query: TransactionQuery) -> None:
    """Check what transactions are asked for.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    for field in ("submit_key", "form_status"):
        if getattr(query, field) is not None:
            check_id(field, getattr(query, field))
    if not isinstance(query.attributes, tuple):
        raise InvalidRecord.of("attributes", "must be a list of names, not one string")
    for attribute in query.attributes:
        check_id("attributes", attribute)
    if type(query.fetch_limit) is not int or not 1 <= query.fetch_limit <= MOST_ON_A_PAGE:
        raise InvalidRecord.of("fetch_limit", f"must be an integer from 1 to {MOST_ON_A_PAGE}")
    if type(query.fetch_offset) is not int or not 0 <= query.fetch_offset < 2**31:
        raise InvalidRecord.of("fetch_offset", "must be an integer from 0 on")


def cancel_from(obj: Any) -> TransactionCancel:
    """Make a transaction to cancel of what a caller gives for one, and check it.

    Args:
        obj: A submit key, a ``TransactionCancel``, or a mapping with Python or wire names, or ``id``.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    if isinstance(obj, Mapping):
        record = structure_record(_converter, TransactionCancel, _NAMES, obj)
    else:
        record = obj if isinstance(obj, TransactionCancel) else TransactionCancel(obj)
    check_cancel(record)
    return record


def transaction_from(raw: Mapping[str, Any]) -> Transaction:
    """Read a transaction of an answer."""
    fields = lowered(raw)
    return Transaction(
        submit_key=text_of(fields.get("submitkey")),
        form_status=text_of(fields.get("formstatus")),
        tracking_code=text_of(fields.get("trackingcode")),
        raw=raw,
    )
