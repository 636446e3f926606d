"""Work with one call for each record."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from omeda_async._account import Account
from omeda_async._call import Call
from omeda_async._operation import Operation
from omeda_async.bulk._chunks import Sizes
from omeda_async.bulk._common_cause import CommonCause
from omeda_async.bulk._item import Item, in_vain
from omeda_async.bulk._job import Job


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
    reading: Mapping[str, Any] = attrs.field(factory=dict)
    sizes: Sizes = attrs.field(factory=Sizes, init=False, repr=False)
    _common: CommonCause = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._common = CommonCause(self.operation, self.account.retry)

    async def perform(self, items: list[Item], job: Job) -> None:
        """Make the call of each item."""
        for item in items:
            options = job.call_options
            if item.doubtful or not self.explain:
                options = attrs.evolve(options, doubtful=item.doubtful, explain=self.explain)
            call = Call(self.account, self.operation, item.params, options, item.request)
            result = await job.run(call)
            cause, common = result.error, self._common
            if cause is None:
                common.took()
                common.alive = call.deadline
                job.close([item], result)
                continue
            suspect = common.suspects(cause, deadline=call.deadline)
            job.close([item], in_vain(result) if suspect else result)
            if suspect and common.is_certain:
                job.stop.set(common.cause(cause))
            job.rest = common.rest()
