"""Whom Omeda names when it refuses a request of opt-outs, and which records that means."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from omeda_async.errors import Culprit
from omeda_async.providers._responses import LONGEST_SENTENCE
from omeda_async.providers.omeda._converter import LEVELS
from omeda_async.providers.omeda.models import BrandOptOut, DeploymentTypeOptOut, OptOut

_LEVEL: Final = re.compile(r"\b(client|brand|deployment\s?type)\s?-?opt-?\s?outs?\b", re.IGNORECASE)
_LEVEL_BY_FIELD: Final = re.compile(r"\b(brand|deployment\s?type)\s?id\b", re.IGNORECASE)
_ID: Final = re.compile(r"\(\s*([^\s()]{1,255})\s*\)")
_EMAIL: Final = re.compile(r"[^\s@]{1,255}@[^\s@]{1,255}")
_AROUND_EMAIL: Final = "\"'`<>()[]{},;:.!?"
_SUMMARY: Final = re.compile(r"\bnone of the opt-?\s?outs\b", re.IGNORECASE)
_NO_BRANDS: Final = re.compile(r"\bno valid brands\b", re.IGNORECASE)
_LEVEL_NAMES: Final = {
    "client": "ClientOptOut",
    "brand": "BrandOptOut",
    "deploymenttype": "DeploymentTypeOptOut",
}


def culprit_in(message: str) -> Culprit | None:
    """Return whom one message names; None if it names nobody.

    The wording is free: a level, an id in parentheses, an address. ``Culprit.level`` is empty where the message has an
    address and no level.
    """
    telling = message[:LONGEST_SENTENCE]
    named = _LEVEL.search(telling) or _LEVEL_BY_FIELD.search(telling)
    level = _LEVEL_NAMES["".join(named[1].casefold().split())] if named else ""
    found = _EMAIL.search(telling) if "@" in telling else None
    email = found[0].strip(_AROUND_EMAIL) if found else None
    bracketed = _ID.search(telling) if level in {"BrandOptOut", "DeploymentTypeOptOut"} else None
    refused_id = bracketed[1].strip("'\"") if bracketed and "@" not in bracketed[1] else None
    if email is None and refused_id is None:
        return None
    return Culprit(level=level, id=refused_id, email_address=email, message=message)


def culprits_in(messages: Iterable[str]) -> tuple[Culprit, ...]:
    """Return whom messages name, each pair once, in their order."""
    found = [culprit for message in messages if (culprit := culprit_in(message)) is not None]
    return tuple(dict.fromkeys(found))


def speaks_of_a_batch(messages: Iterable[str]) -> bool:
    """Whether messages say that a whole request of opt-outs was refused."""
    return any(_SUMMARY.search(text) or _NO_BRANDS.search(text) or _LEVEL.search(text) for text in messages)


def no_valid_brands(messages: Iterable[str]) -> bool:
    """Whether messages say that the client has no brands at all, so that no record can be accepted."""
    return any(_NO_BRANDS.search(text) for text in messages)


def blame(records: Sequence[OptOut], culprits: Iterable[Culprit]) -> dict[int, tuple[Culprit, ...]]:
    """Return the records that culprits name, by level, address and id.

    Where no record has an id exactly, those that have it in other capitals are meant.

    Args:
        records: What was in the refused request.
        culprits: Whom the provider named.

    Returns:
        From positions in ``records`` to the culprits that name the record there.
    """
    by_address: dict[str, list[int]] = {}
    for position, record in enumerate(records):
        by_address.setdefault(record.email_address.casefold(), []).append(position)
    blamed: dict[int, list[Culprit]] = {}
    for culprit in culprits:
        address = culprit.email_address
        candidates = range(len(records)) if address is None else by_address.get(address.casefold(), ())
        named = [position for position in candidates if _names(culprit, records[position])]
        if not named and culprit.id is not None:
            named = [position for position in candidates if _names(culprit, records[position], in_any_case=True)]
        for position in named:
            blamed.setdefault(position, []).append(culprit)
    return {position: tuple(named) for position, named in sorted(blamed.items())}


def without_ids(record: OptOut, refused: Iterable[str | None]) -> OptOut | None:
    """Return a record without the ids that were refused; None if nothing is left of it.

    A refused None stands for the whole record. A refused id that the record has only in other capitals stands for that.
    """
    ids = ids_of(record)
    bad: set[str] = set()
    for one in refused:
        if one is None:
            return None
        exact = {one}.intersection(map(str, ids))
        bad |= exact or {other for other in map(str, ids) if other.casefold() == one.casefold()}
    left = tuple(one for one in ids if str(one) not in bad)
    return _with_ids(record, left) if left else None


def merge(records: Iterable[OptOut]) -> list[OptOut]:
    """Return one record for those with the same address, level, source and promo code, with each id once, in order."""
    merged: dict[OptOut, dict[str | int, None]] = {}
    for record in records:
        merged.setdefault(_bare(record), {}).update(dict.fromkeys(ids_of(record)))
    return [_with_ids(bare, tuple(ids)) for bare, ids in merged.items()]


def ids_of(record: OptOut) -> tuple[str | int, ...]:
    """Return the ids an opt-out names; none for one of the whole client."""
    if isinstance(record, BrandOptOut):
        return record.brand_ids
    return record.deployment_type_ids if isinstance(record, DeploymentTypeOptOut) else ()


def _bare(record: OptOut) -> OptOut:
    return _with_ids(attrs.evolve(record, key=None), ())


def _with_ids(record: OptOut, ids: tuple[str | int, ...]) -> OptOut:
    if isinstance(record, BrandOptOut):
        return attrs.evolve(record, brand_ids=ids)
    return attrs.evolve(record, deployment_type_ids=ids) if isinstance(record, DeploymentTypeOptOut) else record


def _names(culprit: Culprit, record: OptOut, *, in_any_case: bool = False) -> bool:
    if culprit.level and not isinstance(record, LEVELS[culprit.level]):
        return False
    if culprit.id is None:
        return True
    ids = map(str, ids_of(record))
    return culprit.id.casefold() in map(str.casefold, ids) if in_any_case else culprit.id in ids
