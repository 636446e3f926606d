"""What cancelling many has in common for all providers: one call for each record, whose request is built once."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from omeda_async._account import Account
from omeda_async._operation import Operation
from omeda_async.bulk import BulkOptions, BulkRun, Item, OneByOne, Records, fingerprint
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
    """Return the item of a record to cancel.

    Args:
        operation: The cancel.
        raw: The record as it was given.
        params: What is asked for.
        key: The caller's key, or else the id.
        target: The same for records that ask for the same thing, and only for those.
        due: When what is to be cancelled happens; the nearest goes first.

    Raises:
        InvalidRecord: The record cannot be sent; says which field and why.
    """
    request = operation.build(params)
    if due is not None:
        check_moment("scheduled_for", due)
    return Item(
        raw=raw,
        key=key,
        params=params,
        fingerprint=fingerprint(*target),
        due=math.inf if due is None else due.timestamp(),
        request=request,
    )


def cancel_many(
    account: Account,
    operation: Operation[Any, Any],
    records: Records,
    read: Callable[[Any], Item],
    options: BulkOptions,
    *,
    scope: Mapping[str, Any],
    concurrency: int,
    explain: bool,
    look_ahead: int = 0,
) -> BulkRun:
    """Return the run that cancels many.

    Args:
        account: Whose limits and credentials it uses.
        operation: The cancel.
        records: What to cancel.
        read: Turns a record into an item.
        options: What the caller asked of the run.
        scope: What holds for every record.
        concurrency: Calls under way at the most, unless the options say otherwise.
        explain: Whether to look up what an ambiguous refusal meant.
        look_ahead: Records read ahead to find those that are due first.

    Raises:
        ConfigurationError: An option is out of range; the message names it.
        InvalidRecord: The records are no iterable of records.
        TypeError: There is no such option.
    """
    work = OneByOne(
        account,
        f"{operation.name}_many",
        operation,
        read,
        concurrency=concurrency,
        explain=explain,
        scope=scope,
        look_ahead=look_ahead,
    )
    return BulkRun(work, records, **options)
