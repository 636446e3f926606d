"""What the engine of a run asks of whatever remembers it."""

from collections.abc import Sequence
from typing import Any, Protocol

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item


class Ledger(Protocol):
    """Remembers a run: the intents before the attempts, the outcomes before the caller sees them."""

    async def begin(self, items: Sequence[Item]) -> dict[Item, Result[Any]]:
        """Write down that items are about to be sent; give the results of those settled by an earlier run.

        Those an earlier run may have sent are marked as doubtful.
        """

    async def record(self, outcomes: Sequence[Closed]) -> None:
        """Write down results."""

    async def leave(self, outcomes: Sequence[Closed]) -> list[Closed]:
        """Write down what became of items that will not be sent, or whose sending was broken off; give how that stands.

        What an earlier run has found out about an item is not undone.
        """

    def set_aside(self, outcomes: Sequence[Closed]) -> None:
        """Have records counted that are never sent: repeats of earlier ones, and those refused locally."""

    async def room(self) -> None:
        """Wait until few of those are waiting to be written."""
