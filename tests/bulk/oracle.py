"""A provider that processes all records of a request or none, as pure Python, and what isolating does with it."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from omeda_async._result import Result
from omeda_async.bulk import Evidence, Group, Isolation, Item, Part, not_sent
from omeda_async.errors import ApiError, BadRequest, BatchRejected, ClosedError, Culprit

Pair = tuple[str, str]
GENERIC = "There were errors with your submission."


@attrs.frozen
class Record:
    """A name and its ids, as an opt-out has an address and brands."""

    name: str
    ids: frozenset[str]


def make_item(name: str, ids: Iterable[str], size: int = 10) -> Item:
    """Make an item of a record."""
    record = Record(name, frozenset(ids))
    return Item(raw=record, key=name, params=record, fingerprint=name.encode(), size=size)


def blame(records: Sequence[Record], culprits: Iterable[Culprit]) -> dict[int, tuple[Culprit, ...]]:
    """Find whom culprits name."""
    found: dict[int, tuple[Culprit, ...]] = {}
    for culprit in culprits:
        for place, record in enumerate(records):
            if culprit.email_address == record.name and culprit.id in record.ids:
                found[place] = (*found.get(place, ()), culprit)
    return found


def without(record: Record, refused: Iterable[str | None]) -> Record | None:
    """Take ids out of a record."""
    left = record.ids - set(refused)
    return Record(record.name, left) if left else None


def batch(size: int, ids: str = "x") -> list[Item]:
    """Make a batch of records: ``r0``, ``r1`` and so on."""
    return [make_item(f"r{number}", ids) for number in range(size)]


def bad(*places: int, one: str = "x") -> frozenset[Pair]:
    """Name the bad pairs by the places of their records."""
    return frozenset((f"r{place}", one) for place in places)


def words(pair: Pair) -> str:
    """What the provider says of a pair."""
    return f"submission ({pair[1]}) of {pair[0]} was refused"


@attrs.define
class Oracle:
    """The provider: which pairs it refuses, and whom it names."""

    bad: frozenset[Pair]
    named: frozenset[Pair] = frozenset()
    """The bad pairs it names where they occur; the rest it refuses in general words."""
    at_most: int | None = None
    """How many it names in one answer."""
    misnames: bool = False
    """Does it name somebody who is not in the request, too?"""
    max_records: int | None = None
    """More than so many get a 413."""
    max_bytes: float = math.inf
    """The same for bytes."""
    requests: int = 0
    too_large: int = 0
    processed: list[Pair] = attrs.field(factory=list)

    def answer(self, group: Group) -> Result[Any]:
        """Process a request, wholly or not at all."""
        self.requests += 1
        too_many = self.max_records is not None and len(group.parts) > self.max_records
        if too_many or sum(part.item.size for part in group.parts) > self.max_bytes:
            self.too_large += 1
            return Result(error=ApiError("too large", status=413), attempts=1)
        pairs = [(part.params.name, one) for part in group.parts for one in sorted(part.params.ids)]
        culprits = [pair for pair in pairs if pair in self.bad]
        if not culprits:
            self.processed += pairs
            return Result(receipt="ok", attempts=1)
        told = [pair for pair in culprits if pair in self.named][: self.at_most]
        told += [("nobody", "none")] if self.misnames else []
        named = [Culprit("Brand", one, name, words((name, one))) for name, one in told]
        if not named:
            return Result(error=BadRequest(GENERIC, status=400, messages=(GENERIC,)), attempts=1)
        texts = [one.message for one in named]
        rejected = BatchRejected("; ".join(texts), status=400, messages=texts, culprits=named, body=", ".join(texts))
        return Result(error=rejected, attempts=1)


def isolate(
    items: Sequence[Item],
    oracle: Oracle,
    evidence: Evidence | None = None,
    *,
    send: Callable[[Group], Result[Any]] | None = None,
) -> tuple[dict[str, Result[Any]], Isolation]:
    """Isolate to the end, as the work on opt-outs does; fails if a record is closed twice."""
    evidence = evidence or Evidence()
    isolation = Isolation(items, blame, without, evidence)
    while (group := isolation.next()) is not None:
        if isolation.common_cause is not None:
            isolation.give_up(_left, group)
            isolation.give_up(_left)
        elif len(group.parts) > 1 and evidence.sizes.too_large(group.size):
            isolation.cut(group)
        else:
            _take(isolation, group, (send or oracle.answer)(group))
    results = {item.key: result for item, result in isolation.closed}
    assert len(results) == len(isolation.closed), "a record was closed twice"
    return results, isolation


def _take(isolation: Isolation, group: Group, result: Result[Any]) -> None:
    if result.error is None:
        isolation.accepted(group, result)
    elif isinstance(result.error, ApiError) and result.error.status == 400:
        isolation.refused(group, result.error, result.attempts)
    else:
        isolation.too_large(group, result)


def _left(part: Part) -> Result[Any]:
    return not_sent(ClosedError("left out"), part.attempts)
