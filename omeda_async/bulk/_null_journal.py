"""What a run without a journal has in its place."""

from collections.abc import Sequence
from typing import Any, Literal

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item
from omeda_async.outcomes import Tally


class NullJournal:
    """Remembers nothing. Nobody hands it what is to be sent, or results: ``remembers`` tells that."""

    remembers: Literal[False] = False

    async def open(self, tally: Tally) -> tuple[int, float]:  # noqa: ARG002 what a journal keeps
        """Tell that earlier runs have made no requests."""
        return 0, 0.0

    async def leave(self, closed: Sequence[Closed]) -> Sequence[Closed]:
        """Give back what became of items: nobody knows more."""
        return closed

    def note(self, items: Sequence[Item], result: Result[Any], *, refused: bool = False) -> None:
        """Forget them."""

    async def room(self) -> None:
        """Wait for nothing."""

    async def close(self, cause: BaseException | None) -> None:
        """Close nothing."""
