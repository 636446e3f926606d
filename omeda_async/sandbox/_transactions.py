"""Journey Manager's transactions, and the query for them with the defaults it applies without saying so."""

import operator
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar

import attrs

_OPTIONS = frozenset({"fetchLimit", "fetchOffset", "attributes", "filters", "sorts"})
_DEFAULT_STATUSES = ("Saved", "Opened", "Assigned")
_DEFAULT_AGE = timedelta(days=14)
_MOST = 10_000
_CRITERION = re.compile(r"(\w+)\s*(!=|<=|>=|=|<|>)\s*\{(\d+)\}")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


@attrs.define
class SandboxTransaction:
    """A Journey Manager transaction as the sandbox keeps it."""

    submit_key: str
    form_status: str = "Saved"
    modified_at: datetime = attrs.field(kw_only=True)
    """A query without a filter on the submit key leaves out what is older than 14 days."""
    accessible: bool = True
    """Whether the user may see it; what he may not see is not found."""
    reason: str | None = None
    milestones: list[str] = attrs.field(factory=list)
    cancels: int = 0
    """How often a cancel was applied to it; more than once never happens."""
    cancel_attempts: int = 0
    """How often a cancel for it was processed, applied or refused."""

    ATTRIBUTES: ClassVar = frozenset({"submitKey", "formStatus", "timeLastModified", "abandonmentReason"})

    def abandon(self, reason: str | None, milestones: str | None, now: datetime) -> None:
        """Apply a cancel."""
        self.form_status, self.reason, self.modified_at = "Abandoned", reason, now
        self.cancels += 1
        if milestones is not None:
            self.milestones.append(milestones)

    def view(self) -> dict[str, object]:
        """Return it as a query shows it."""
        return {
            "submitKey": self.submit_key,
            "formStatus": self.form_status,
            "timeLastModified": self.modified_at.isoformat(),
            "abandonmentReason": self.reason or "",
        }


class InvalidQueryError(Exception):
    """A query with an attribute that does not exist, or a value that it cannot have."""


@attrs.frozen
class _Criterion:
    attribute: str
    compare: Callable[[Any, Any], bool]
    value: object

    def holds(self, row: dict[str, object]) -> bool:
        return self.compare(row[self.attribute], self.value)


@attrs.frozen
class _Filter:
    criteria: tuple[_Criterion, ...]
    joined_by_and: bool

    def holds(self, row: dict[str, object]) -> bool:
        results = (criterion.holds(row) for criterion in self.criteria)
        return all(results) if self.joined_by_and else any(results)

    @property
    def lifts_defaults(self) -> bool:
        return self.joined_by_and and any(one.attribute == "submitKey" for one in self.criteria)


def query(body: dict[str, Any], transactions: Iterable[SandboxTransaction], now: datetime) -> dict[str, object]:
    """Answer a query.

    Raises:
        InvalidQueryError: An attribute of the query does not exist or has a wrong value; names it.
    """
    unknown = body.keys() - _OPTIONS
    if unknown:
        raise InvalidQueryError(min(unknown))
    limit = _count(body, "fetchLimit", 100, most=_MOST)
    offset = _count(body, "fetchOffset", 0)
    filters = [_filter(one) for one in _items(body, "filters", dict)]
    rows = [one.view() for one in _candidates(transactions, filters, now)]
    found = _sort([row for row in rows if all(one.holds(row) for one in filters)], _items(body, "sorts", str))
    shown = _items(body, "attributes", str) or ["submitKey", "formStatus"]
    result = [_shown(row, shown) for row in found[offset : offset + limit]]
    return {"fetchLimit": limit, "fetchOffset": offset, "durationMs": 1, "result": result}


def _candidates(
    transactions: Iterable[SandboxTransaction], filters: list[_Filter], now: datetime
) -> Iterable[SandboxTransaction]:
    if any(one.lifts_defaults for one in filters):
        return transactions
    return (
        one for one in transactions if one.form_status in _DEFAULT_STATUSES and now - one.modified_at <= _DEFAULT_AGE
    )


def _count(body: dict[str, Any], name: str, default: int, *, most: int | None = None) -> int:
    value = body.get(name, default)
    if type(value) is not int or value < 0 or (most is not None and value > most):
        raise InvalidQueryError(name)
    return value


def _items(body: dict[str, Any], name: str, kind: type) -> list[Any]:
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, kind) for one in value):
        raise InvalidQueryError(name)
    return value


def _filter(raw: dict[str, Any]) -> _Filter:
    if not raw.keys() <= {"criteria", "params", "operator"} or raw.get("operator", "AND") not in (
        "AND",
        "OR",
    ):
        raise InvalidQueryError("filters")
    params = _items(raw, "params", object)
    criteria = tuple(_criterion(one, params) for one in _items(raw, "criteria", str))
    return _Filter(criteria, raw.get("operator", "AND") == "AND")


def _criterion(text: str, params: list[Any]) -> _Criterion:
    match = _CRITERION.fullmatch(text.strip())
    if match is None or int(match[3]) >= len(params):
        raise InvalidQueryError("criteria")
    value = params[int(match[3])]
    if match[1] not in SandboxTransaction.ATTRIBUTES or not isinstance(value, str):
        raise InvalidQueryError("criteria")
    return _Criterion(match[1], _COMPARE[match[2]], value)


def _sort(rows: list[dict[str, object]], sorts: list[str]) -> list[dict[str, object]]:
    for text in reversed(sorts):
        name, _, direction = text.partition(" ")
        if name not in SandboxTransaction.ATTRIBUTES or direction not in ("", "asc", "desc"):
            raise InvalidQueryError("sorts")
        rows = sorted(rows, key=operator.itemgetter(name), reverse=direction == "desc")
    return rows


def _shown(row: dict[str, object], attributes: list[str]) -> dict[str, object]:
    unknown = set(attributes) - row.keys()
    if unknown:
        raise InvalidQueryError(min(unknown))
    return {name: row[name] for name in attributes}
