"""What the rows of a file may be about, and how their columns may be named."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from omeda_async._levels import IDS, level_of
from omeda_async.errors import InvalidRecord


def plain(name: str) -> str:
    """Normalise a column's name: ``EmailAddress``, ``email_address`` and ``E-mail address`` are the same."""
    return "".join(filter(str.isalnum, name.casefold()))


@attrs.frozen(kw_only=True)
class RowKind:
    """What the rows of a file are about."""

    what: str
    """The records in words, such as ``"campaigns"``."""
    target: str
    """The field without which a row says nothing."""
    fields: tuple[str, ...]
    """The fields by their Python names. A column's name is read without regard to case, spaces, ``-`` and ``_``."""
    also: Mapping[str, str] = attrs.field(factory=dict)
    """Further names of fields."""
    bare: bool = True
    """Whether a row may be the target alone, one a line."""
    level: Callable[[Mapping[str, Any]], str | None] | None = None
    """Tells how far a record reaches, where records of this kind differ in that; None when it cannot be told."""

    _fields: dict[str, str] = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        names = {plain(name): field for name, field in self.also.items()}
        object.__setattr__(self, "_fields", names | {plain(field): field for field in self.fields})

    def field(self, name: str) -> str | None:
        """Return the field that a column's name stands for; None when it stands for none."""
        return self._fields.get(plain(name))

    @property
    def expected(self) -> str:
        """Say what a file of such rows looks like."""
        lines = ", or one id a line" if self.bare else ""
        alone = "" if self.bare else f"; for one a line, put a line that reads {self.short} above the first"
        return (
            f"expected is CSV or .xlsx with a header row, JSON Lines or a JSON array{lines}; "
            f"{self.target} is required, known are {', '.join(self.fields)}{alone}"
        )

    @property
    def short(self) -> str:
        """Return the shortest name of the target."""
        names = [name for name, field in self.also.items() if field == self.target]
        return min([*names, self.target], key=len)


def _level(record: Mapping[str, Any]) -> str | None:
    try:
        level = level_of(record)
        # With ids of another level it is refused: it will have none.
        return level if all(record.get(ids) is None for owner, ids in IDS.items() if owner != level) else None
    except InvalidRecord:
        return None


OPT_OUTS: Final = RowKind(
    what="opt-outs",
    target="email_address",
    fields=("email_address", "brand_ids", "deployment_type_ids", "level", "source", "promo_code", "key"),
    also={"email": "email_address", "BrandId": "brand_ids", "DeploymentTypeId": "deployment_type_ids"},
    bare=False,
    level=_level,
)
DEPLOYMENTS: Final = RowKind(
    what="deployments",
    target="track_id",
    fields=("track_id", "user_id", "scheduled_for", "key"),
    also={"id": "track_id"},
)
CAMPAIGNS: Final = RowKind(
    what="campaigns",
    target="campaign_id",
    fields=("campaign_id", "reason", "key"),
    also={"id": "campaign_id"},
)
TRANSACTIONS: Final = RowKind(
    what="transactions",
    target="submit_key",
    fields=("submit_key", "reason", "milestones", "key"),
    also={"id": "submit_key"},
)
