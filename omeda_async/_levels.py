"""How far an opt-out of Omeda reaches: pure, and decided here for files and for requests alike."""

from collections.abc import Mapping
from typing import Any, Final

from omeda_async._empty import EMPTY, is_empty
from omeda_async.errors import InvalidRecord

_WORDS: Final = {"client": "client", "brand": "brand", "deploymenttype": "deployment_type"}
IDS: Final = {"brand": "brand_ids", "deployment_type": "deployment_type_ids"}
"""The fields for ids, by the level they belong to."""
NO_IDS: Final = "where the whole client is meant, give {}client in a field named level"
"""What to do about a field for ids with nothing in it."""
PROMO_CODE: Final = "is for opt-outs of deployment types: give deployment_type_ids as well, or leave it out"
"""What to do about a promo code beside no ids."""


def level_of(fields: Mapping[str, Any]) -> str:
    """Return the level of an opt-out by its fields: ``"client"``, ``"brand"`` or ``"deployment_type"``.

    It is ``level`` where that is given, else it follows from the ids.

    Raises:
        InvalidRecord: It cannot be told.
    """
    named = fields.get("level")
    if named is not None:
        return _named(named)
    brand_ids, type_ids = fields.get("brand_ids"), fields.get("deployment_type_ids")
    if brand_ids is not None and type_ids is not None:
        for field, ids in (("brand_ids", brand_ids), ("deployment_type_ids", type_ids)):
            if is_empty(ids):
                raise InvalidRecord.of(field, f"{EMPTY}: leave the field out, or give None")
        raise InvalidRecord.of("deployment_type_ids", "is given together with brand_ids: make it two records")
    if brand_ids is not None:
        return "brand"
    if type_ids is not None:
        return "deployment_type"
    # An opt-out of the whole client cannot be taken back: one empty field for ids may be a slip.
    if ("brand_ids" in fields) != ("deployment_type_ids" in fields):
        empty = "brand_ids" if "brand_ids" in fields else "deployment_type_ids"
        raise InvalidRecord.of(empty, f"is empty: give an id; {NO_IDS.format('')}")
    if fields.get("promo_code") is not None:
        raise InvalidRecord.of("promo_code", PROMO_CODE)
    return "client"


def _named(level: object) -> str:
    if is_empty(level):
        raise InvalidRecord.of("level", f"{EMPTY}: give client, brand or deployment_type")
    word = level.casefold().replace("_", "").replace(" ", "").removesuffix("optout") if isinstance(level, str) else ""
    if word not in _WORDS:
        raise InvalidRecord.of("level", "must be client, brand or deployment_type")
    return _WORDS[word]
