"""How many records stand in which state: counted a slice at a time, so that nobody waits for a million of them."""

import asyncio
from collections import Counter
from collections.abc import Collection
from operator import attrgetter
from typing import Any

import attrs

from omeda_async.sandbox._hiding import shown
from omeda_async.sandbox._opt_outs import OptOutSubmission
from omeda_async.sandbox._state import State

_SLICE = 2_000
"""Records that are counted without a break: some tenths of a millisecond."""
_REST = 20
"""So many times as long as a count took, the next one is put off."""
_MOST_STATES = 12
_OTHERS = "other"


@attrs.define(eq=False)
class Sums:
    """The sums of one sandbox, for all who look at its page."""

    state: State
    shown: dict[str, Any] = attrs.field(factory=dict, init=False)
    """By kind: the number of records in each state; of opt-outs that of requests and of opt-outs."""
    _next_at: float = attrs.field(default=float("-inf"), init=False)
    _counting: bool = attrs.field(default=False, init=False)
    _counted: int = attrs.field(default=0, init=False)
    _last: OptOutSubmission | None = attrs.field(default=None, init=False)
    _opt_outs: int = attrs.field(default=0, init=False)

    async def refresh(self) -> None:
        """Count anew, unless somebody does, or it is too early after a count that took long."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if self._counting or begun < self._next_at:
            return
        self._counting = True
        try:
            self.shown = await self._count()
        finally:
            self._counting = False
            self._next_at = loop.time() + _REST * (loop.time() - begun)

    async def _count(self) -> dict[str, Any]:
        state = self.state
        return {
            "deployments": await self._by_state(state.omeda.deployments.values(), "status"),
            "campaigns": await self._by_state(state.ocamba.campaigns.values(), "status"),
            "transactions": await self._by_state(state.journey_manager.transactions.values(), "form_status"),
            "opt_outs": self._sum_of_opt_outs(),
        }

    async def _by_state(self, records: Collection[object], name: str) -> dict[str, int]:
        kept, status = list(records), attrgetter(name)
        counts: Counter[str] = Counter()
        for begin in range(0, len(kept), _SLICE):
            counts.update(map(str, map(status, kept[begin : begin + _SLICE])))
            await asyncio.sleep(0)
        sums: Counter[str] = Counter()
        for one, times in counts.most_common(_MOST_STATES):
            sums[shown(one, self.state.secrets)] += times
        rest = counts.total() - sums.total()
        return dict(sums + Counter({_OTHERS: rest}))

    def _sum_of_opt_outs(self) -> dict[str, int]:
        """Add what has come to what was added up before; begin anew where that is gone."""
        submissions = self.state.omeda.opt_outs.submissions
        known = self._counted and len(submissions) >= self._counted and submissions[self._counted - 1] is self._last
        if not known:
            self._counted, self._opt_outs = 0, 0
        self._opt_outs += sum(one.opt_outs for one in submissions[self._counted :])
        self._counted, self._last = len(submissions), submissions[-1] if submissions else None
        return {"requests": self._counted, "opt-outs": self._opt_outs}
