"""What Journey Manager is given and what it gives back, under Python names.

Making one of these never fails for what it holds: everything is checked where it is about to be sent.
"""

from collections.abc import Mapping
from typing import Any, SupportsIndex, TypeAlias

import attrs

from omeda_async._masking import masked_repr
from omeda_async.providers._models import UNKEPT, to_id, to_tuple


@attrs.frozen
class TransactionCancel:
    """A transaction to cancel, which Journey Manager calls abandoning it."""

    submit_key: str = attrs.field(repr=masked_repr, converter=to_id)
    """Takes an integer too."""
    reason: str | None = attrs.field(default=None, repr=masked_repr)
    """Why it is abandoned."""
    milestones: str | None = attrs.field(default=None, repr=masked_repr)
    """One milestone to add to the transaction; no place for personal data."""
    key: str | int | None = attrs.field(default=None, repr=masked_repr, eq=False)
    """The caller's own name for this record; not sent."""


TransactionRecord: TypeAlias = str | SupportsIndex | TransactionCancel | Mapping[Any, Any]
"""What stands for a transaction to cancel: its id, a model, or a mapping of its fields."""


@attrs.frozen
class TransactionReceipt:
    """Journey Manager's word that a transaction is abandoned; its response holds nothing that is documented."""

    settled: bool = attrs.field(default=False, kw_only=True)
    """True: the response was lost, and a read has shown since that it was done."""
    raw: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True, eq=False, repr=False, metadata=UNKEPT)
    """The whole response as it came, which cannot be changed, and is empty if it had no body; None where a read has
    settled it, or in an outcome from a journal."""


@attrs.frozen(kw_only=True)
class Transaction:
    """A transaction as Journey Manager shows it. What the response does not hold is None."""

    submit_key: str | None = None
    form_status: str | None = None
    """Opened, Saved, Submitted, Completed, Abandoned, Expired or Assigned."""
    tracking_code: str | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """The whole object, as Journey Manager gave it."""


@attrs.frozen(kw_only=True)
class TransactionQuery:
    """What to ask for in a list of transactions.

    Left to itself, Journey Manager shows only what is Saved, Opened or Assigned, and only the last 14 days. A
    ``submit_key`` lifts both restrictions, a ``form_status`` the first.
    """

    submit_key: str | None = attrs.field(default=None, converter=attrs.converters.optional(to_id))
    form_status: str | None = None
    attributes: tuple[str, ...] = attrs.field(default=(), converter=to_tuple)
    """What to show of each, by Journey Manager's names; any iterable, an empty one means everything."""
    fetch_limit: int = 1000
    """Transactions on a page: 1 to 10,000."""
    fetch_offset: int = 0
    """Transactions to skip."""


@attrs.frozen(kw_only=True)
class TransactionPage:
    """One page of a list of transactions; there is no total."""

    items: tuple[Transaction, ...] = ()
    fetch_limit: int | None = None
    """How many the server gives on a page, as it says itself: it may be less than was asked for."""
