"""What the engine of a run asks of whatever remembers it."""

from collections.abc import Sequence
from typing import Any, Protocol

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item


class RunJournal(Protocol):
    """Remembers a run: the intents before the attempts, the outcomes before the caller sees them."""

    remembers: bool
    """Whether it does: if not, nobody need wait for it."""

    async def begin(self, items: Sequence[Item]) -> dict[Item, Result[Any]]:
        """Write down that items are about to be sent; return the results of those settled by an earlier run.

        Those an earlier run may have sent are marked as doubtful.
        """

    async def record(self, outcomes: Sequence[Closed]) -> None:
        """Write down results."""

    async def leave(self, outcomes: Sequence[Closed]) -> list[Closed]:
        """Write down what became of items that will not be sent, or were broken off; return how that stands.

        What an earlier run has found out about an item is not undone.
        """

    def note_repeats(self, outcomes: Sequence[Closed]) -> None:
        """Have repeats of earlier records counted."""

    def note_refused(self, outcomes: Sequence[Closed]) -> None:
        """Have records counted that were refused locally."""

    async def room(self) -> None:
        """Wait until few of those are waiting to be written."""


class NullJournal:
    """Remembers nothing."""

    remembers = False

    async def begin(self, items: Sequence[Item]) -> dict[Item, Result[Any]]:  # noqa: ARG002 as in RunJournal
        """Return nothing: there was no earlier run."""
        return {}

    async def record(self, outcomes: Sequence[Closed]) -> None:
        """Write nothing down."""

    async def leave(self, outcomes: Sequence[Closed]) -> list[Closed]:
        """Return the outcomes as they are."""
        return list(outcomes)

    def note_repeats(self, outcomes: Sequence[Closed]) -> None:
        """Count nothing."""

    def note_refused(self, outcomes: Sequence[Closed]) -> None:
        """Count nothing."""

    async def room(self) -> None:
        """Wait for nothing."""
