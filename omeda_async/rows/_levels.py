"""How far an opt-out reaches, as far as its row tells: pure."""

from collections.abc import Mapping
from typing import Any, Final

_LEVELS: Final = {"client": "client", "brand": "brand", "deploymenttype": "deployment_type"}
_IDS: Final = {"brand_ids": "brand", "deployment_type_ids": "deployment_type"}


def level_of(record: Mapping[str, Any]) -> str | None:
    """Return the level that an opt-out will have: ``"client"``, ``"brand"`` or ``"deployment_type"``.

    None means that it cannot be told; such a record is refused when the run reads it.

    Raises:
        InvalidRecord: The row cannot be converted.
    """
    present = [field for field in _IDS if field in record]
    given = [_IDS[field] for field in present if record[field] is not None]
    named = record.get("level")
    if named is not None:
        level = _LEVELS.get(_word(named))
        return level if set(given) <= {level} else None
    if given:
        return given[0] if len(given) == 1 else None
    # A single empty field for ids may be a slip, and is refused; two of them mean the whole client.
    if len(present) == 1:
        return None
    return "deployment_type" if record.get("promo_code") is not None else "client"


def _word(level: object) -> str:
    return level.casefold().replace("_", "").replace(" ", "").removesuffix("optout") if isinstance(level, str) else ""
