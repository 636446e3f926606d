"""The queue in front of the gates: two lanes, first come, first served in each."""

from collections import OrderedDict
from typing import TYPE_CHECKING

from omeda_async.limits._rate_limit import Priority

if TYPE_CHECKING:
    import asyncio

    from omeda_async.limits._state import Permit

RESERVE = 10
"""Of so many grants, bulk gets at least one while both lanes wait."""


class Lanes:
    """Who waits. Everything takes the same time however many they are, leaving out of turn too."""

    __slots__ = ("_bulk", "_in_a_row", "_interactive", "waiters")

    def __init__(self) -> None:
        # An ordered dictionary, as one that is emptied from its front does not get slower.
        self._interactive: OrderedDict[asyncio.Future[Permit], None] = OrderedDict()
        self._bulk: OrderedDict[asyncio.Future[Permit], None] = OrderedDict()
        self._in_a_row = 0
        self.waiters = 0  # in both lanes; counted here, as every call asks

    def waiting(self) -> dict[Priority, int]:
        """Count who waits in each lane."""
        return {Priority.INTERACTIVE: len(self._interactive), Priority.BULK: len(self._bulk)}

    def ahead(self, priority: Priority) -> int:
        """Count who will certainly go before one that comes now, if nobody leaves."""
        if priority is Priority.INTERACTIVE:
            return len(self._interactive)
        share = (len(self._bulk) + 1) * (RESERVE - 1) - self._in_a_row
        return len(self._bulk) + max(0, min(len(self._interactive), share))

    def join(self, waiter: "asyncio.Future[Permit]", priority: Priority) -> None:
        """Stand at the end of a lane."""
        self._lane(priority)[waiter] = None
        self.waiters += 1

    def leave(self, waiter: "asyncio.Future[Permit]", priority: Priority) -> None:
        """Leave a lane, wherever in it."""
        lane = self._lane(priority)
        if waiter in lane:
            del lane[waiter]
            self.waiters -= 1

    def _turn(self) -> Priority:
        starved = self._in_a_row >= RESERVE - 1
        return Priority.BULK if self._bulk and (starved or not self._interactive) else Priority.INTERACTIVE

    def pop(self) -> "tuple[asyncio.Future[Permit], Priority]":
        """Take out whose turn it is, and tell the lane; somebody must be waiting."""
        priority = self._turn()
        self._in_a_row = self._in_a_row + 1 if priority is Priority.INTERACTIVE and self._bulk else 0
        self.waiters -= 1
        return self._lane(priority).popitem(last=False)[0], priority

    def clear(self) -> "list[asyncio.Future[Permit]]":
        """Take out everybody."""
        everybody = [*self._interactive, *self._bulk]
        self._interactive.clear()
        self._bulk.clear()
        self.waiters = 0
        return everybody

    def _lane(self, priority: Priority) -> "OrderedDict[asyncio.Future[Permit], None]":
        return self._interactive if priority is Priority.INTERACTIVE else self._bulk
