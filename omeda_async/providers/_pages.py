"""Which items on the pages of a list are new, and whether another page follows: pure."""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from omeda_async._operation import Operation
from omeda_async.errors import UnreadableAnswer

T = TypeVar("T")


class Pages(Generic[T]):
    """The pages of one list, in the order in which they come.

    Args:
        operation: The operation that reads a page.
        id_of: Returns the id of an item; one without an id counts as new always.
    """

    def __init__(self, operation: Operation[Any, Any], id_of: Callable[[T], str | None]) -> None:
        self.seen: set[str] = set()
        self._operation = operation
        self._id_of = id_of
        self._any_new = False

    def new_on(self, items: Iterable[T]) -> list[T]:
        """Return the items of the next page that no page before has shown, each once."""
        before = len(self.seen)
        new = []
        for item in items:
            found = self._id_of(item)
            if found is None or found not in self.seen:
                new.append(item)
            if found is not None:
                self.seen.add(found)
        self._any_new = len(self.seen) > before
        return new

    def go_on(self, page: str, shown: int, asked: int) -> bool:
        """Whether to ask for another page after one that is not said to be the last.

        Args:
            page: What to call the page in a message.
            shown: Items on it.
            asked: Items that were asked for.

        Raises:
            UnreadableAnswer: A full page shows only what came before.
        """
        if self._any_new or shown < asked:
            return self._any_new  # without anything new, it holds what moved up while this went on
        raise UnreadableAnswer(
            f"{page} is full, and everything on it came before: the list neither goes on nor ends",
            provider=self._operation.provider,
            operation=self._operation.name,
            status=200,
        )
