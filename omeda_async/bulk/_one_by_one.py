"""Work with one call for each record."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from omeda_async._account import Account
from omeda_async._call import Call
from omeda_async._operation import Operation, finds_nothing
from omeda_async.bulk._item import WITNESSES, Item, in_vain
from omeda_async.bulk._job import Job
from omeda_async.errors import AlreadyDone, OmedaAsyncError, TooLate


@attrs.define
class OneByOne:
    """Work with one call for each record."""

    account: Account
    name: str
    operation: Operation[Any, Any]
    read: Callable[[Any], Item]
    """Turns a record into an item; raises InvalidRecord for one that cannot be sent."""
    concurrency: int
    explain: bool = True
    scope: Mapping[str, Any] = attrs.field(factory=dict)
    look_ahead: int = 0
    max_entries: int = 1
    max_bytes: int = 2**31
    _url_is_right: bool = attrs.field(default=False, init=False)
    _nothing_found: int = attrs.field(default=0, init=False)

    async def perform(self, items: list[Item], job: Job) -> None:
        """Make the call of each item."""
        for item in items:
            options = job.call_options
            if item.doubtful or not self.explain:
                options = attrs.evolve(options, doubtful=item.doubtful, explain=self.explain)
            result = await job.run(Call(self.account, self.operation, item.params, options, item.request))
            cause = result.error
            if cause is None or isinstance(cause, AlreadyDone | TooLate):
                self._url_is_right = True
            if cause is None or not self._may_meet_everyone(cause):
                job.close([item], result)
                continue
            job.close([item], in_vain(result))
            if self.operation.hits_everyone(cause) or self._nothing_found >= WITNESSES:
                job.stop.set(cause)

    def _may_meet_everyone(self, cause: OmedaAsyncError) -> bool:
        if self.operation.hits_everyone(cause):
            return True
        self._nothing_found += finds_nothing(cause)
        return finds_nothing(cause) and not self._url_is_right
