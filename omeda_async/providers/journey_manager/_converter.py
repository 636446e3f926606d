"""Between Journey Manager's models and its wire: names, records from mappings, and transactions of responses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from omeda_async.providers._responses import lowered, text_of
from omeda_async.providers._structuring import RecordReader
from omeda_async.providers.journey_manager.models import Transaction, TransactionCancel, TransactionQuery

CANCEL_WIRE: Final[Mapping[str, str]] = MappingProxyType(
    {"submit_key": "submitKey", "reason": "reason", "milestones": "milestones"}
)
"""The wire names of a cancel's parameters. What is unset is left out: an attribute too many is refused."""

cancel_from: Final = RecordReader(TransactionCancel, {"submitKey": "submit_key"}).read
"""Returns the ``TransactionCancel`` for a submit key, a ``TransactionCancel``, or a mapping.

A mapping has Python or wire names, or ``id``.
"""


def query_to_wire(query: TransactionQuery) -> dict[str, Any]:
    """Return a query that has been checked as the JSON object it is on the wire.

    Values go out as parameters, never in the criteria.
    """
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


def transaction_from(raw: Mapping[str, Any]) -> Transaction:
    """Return a transaction of a response."""
    fields = lowered(raw)
    return Transaction(
        submit_key=text_of(fields.get("submitkey")),
        form_status=text_of(fields.get("formstatus")),
        tracking_code=text_of(fields.get("trackingcode")),
        raw=raw,
    )
