"""What cancelling many has in common for all providers: a record's request is built once, and kept."""

import math
from datetime import datetime
from typing import Any, TypeVar

from omeda_async._operation import Operation
from omeda_async.bulk import Item, fingerprint
from omeda_async.errors import InvalidRecord
from omeda_async.providers._fields import check_moment

P = TypeVar("P")


def item_of(
    operation: Operation[P, Any],
    raw: Any,
    params: P,
    *,
    key: str | int,
    target: tuple[str, ...],
    due: datetime | None = None,
) -> Item:
    """Return the item of a record to cancel; one that cannot be sent says why in ``refusal``, and has its key still.

    Args:
        operation: The cancel.
        raw: The record as it was given.
        params: What is asked for; building its request checks it.
        key: The caller's key, or else the id.
        target: The same for records that ask for the same thing, and only for those.
        due: The record's ``scheduled_for``; the nearest goes first.
    """
    try:
        request = operation.build(params)
        if due is not None:
            check_moment("scheduled_for", due)
    except InvalidRecord as error:
        known = key if isinstance(key, str | int) else None
        return Item(raw, known, params=None, fingerprint=b"", refusal=error.with_traceback(None))
    return Item(
        raw=raw,
        key=key,
        params=params,
        fingerprint=fingerprint(*target),
        due=math.inf if due is None else due.timestamp(),
        request=request,
    )
