"""
Finding the culprits of a refused batch: pure, and fed with one answer at a time.

A provider that processes all records of a request or none refuses the good with the bad. Whom it names is taken out
and the rest sent again; where it names nobody the batch is halved until the culprit stands alone.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import attrs

from omeda_async._masking import mask_emails
from omeda_async._result import Result
from omeda_async.bulk._records import Item
from omeda_async.errors import ApiError, BatchRejected, Culprit
from omeda_async.outcomes import OutcomeStatus

Blame: TypeAlias = Callable[[Sequence[Any], Iterable[Culprit]], dict[int, tuple[Culprit, ...]]]
Without: TypeAlias = Callable[[Any, Iterable[str | None]], Any]
Closed: TypeAlias = list[tuple[Item, Result[Any]]]

SIZE_SPLITS = 2
SMALLEST_PROOF = 8


@attrs.define(eq=False)
class Part:
    """
    What is left of an item after the ids refused so far.
    """

    item: Item
    params: Any
    refusal: BatchRejected | None = None
    """What was refused of it, in the provider's words; None while nothing was."""
    attempts: int = 0
    doubtful: bool = False
    half: int = 0
    """Which half of the first batch it was in."""


@attrs.define(eq=False)
class Group:
    """
    Parts that share the next request.
    """

    parts: list[Part]
    suspect: ApiError | None = None
    """Known to hold a culprit without having been sent: the refusal that says so."""
    partner: "Group | None" = None
    """The other half of a refused group, which holds the culprit if this one is accepted."""
    cause: ApiError | None = None
    """The refusal of the group that this one and its partner were halved from."""
    size_splits: int = 0

    @property
    def doubtful(self) -> bool:
        """
        May any of it have been processed already?
        """
        return any(part.doubtful for part in self.parts)


class Isolation:
    """
    Says which group to send next, and what its answer means for its records.

    Args:
        items: The batch.
        blame: Finds whom culprits name among parameters, by position.
        without: Takes refused ids out of parameters; None when nothing is left.

    """

    def __init__(self, items: Sequence[Item], blame: Blame, without: Without) -> None:
        middle = (len(items) + 1) // 2
        parts = [
            Part(item, item.params, doubtful=item.doubtful, half=int(place >= middle))
            for place, item in enumerate(items)
        ]
        self._groups = deque([Group(parts)])
        self._blame = blame
        self._without = without
        self._accepted = False
        self._provable = len(items) >= SMALLEST_PROOF
        self._lone_texts: dict[int, str] = {}
        self.closed: Closed = []
        self.common_cause: ApiError | None = None
        """Set once the evidence says that the cause would meet every record."""

    def next(self) -> Group | None:
        """
        Give the group to send next; None when every record is accounted for.
        """
        while self._groups:
            group = self._take()
            if group.suspect is None:
                return group
            self._split_or_reject(group, group.suspect)
        return None

    def accepted(self, group: Group, result: Result[Any]) -> None:
        """
        Take a success: its records are done, and its other half must hold the culprit.
        """
        self._accepted = True
        for part in group.parts:
            part.attempts += result.attempts
            known = OutcomeStatus.PARTLY_DONE if part.refusal else None
            self._close(part, attrs.evolve(result, error=part.refusal, known=known))
        if group.partner is not None and group.partner in self._groups:
            group.partner.suspect = group.cause

    def refused(self, group: Group, error: ApiError, attempts: int) -> None:
        """
        Take a refusal of the whole group, nothing of which was processed.
        """
        self._count(group, attempts, doubtful=False)
        culprits = error.culprits if isinstance(error, BatchRejected) else ()
        blamed = self._blame([part.params for part in group.parts], culprits)
        if blamed:
            self._take_out(group, blamed, error)
            return
        if len(group.parts) == 1:
            self._note_lone(group.parts[0], error)
        self._split_or_reject(group, error)

    def too_large(self, group: Group, result: Result[Any]) -> None:
        """
        Take a failure that a smaller request may not meet: halve a few times, then take it as it is.
        """
        endless = isinstance(result.error, ApiError) and result.error.status == 413
        self._count(group, result.attempts, doubtful=result.doubtful)
        if len(group.parts) == 1 or (group.size_splits >= SIZE_SPLITS and not endless):
            for part in group.parts:
                self._close(part, result)
            return
        for half in reversed(_halves(group.parts)):
            self._groups.append(Group(half, size_splits=group.size_splits + 1))

    def give_up(self, make: Callable[[Part], Result[Any]], group: Group | None = None) -> None:
        """
        Close a group, or all that is left, with results of the caller's making.
        """
        groups = [group] if group is not None else list(self._groups)
        if group is None:
            self._groups.clear()
        for part in [part for one in groups for part in one.parts]:
            self._close(part, make(part))

    def _take(self) -> Group:
        # One record stands refused alone and nothing was accepted yet: look at the far end before going on here.
        if len(self._lone_texts) == 1 and not self._accepted and self._provable:
            return self._groups.popleft()
        return self._groups.pop()

    def _split_or_reject(self, group: Group, error: ApiError) -> None:
        if len(group.parts) == 1:
            self._close(group.parts[0], Result(error=error, known=OutcomeStatus.REJECTED))
            return
        left, right = (Group(half, cause=error) for half in _halves(group.parts))
        left.partner = right
        self._groups.extend((right, left))

    def _take_out(self, group: Group, blamed: dict[int, tuple[Culprit, ...]], error: ApiError) -> None:
        rest = []
        for place, part in enumerate(group.parts):
            named = blamed.get(place, ())
            if named:
                part.refusal = _refusal(part, named, error)
                part.params = self._without(part.params, [culprit.id for culprit in named])
            if part.params is None:
                self._close(part, Result(error=part.refusal, known=OutcomeStatus.REJECTED))
            else:
                rest.append(part)
        if rest:
            self._groups.append(Group(rest, size_splits=group.size_splits))

    def _note_lone(self, part: Part, error: ApiError) -> None:
        text = mask_emails(error.message)
        self._lone_texts.setdefault(part.half, text)
        same = len(set(self._lone_texts.values())) == 1
        if self._provable and not self._accepted and same and len(self._lone_texts) > 1:
            self.common_cause = error

    def _count(self, group: Group, attempts: int, *, doubtful: bool) -> None:
        for part in group.parts:
            part.attempts += attempts
            part.doubtful = doubtful

    def _close(self, part: Part, result: Result[Any]) -> None:
        self.closed.append((part.item, attrs.evolve(result, attempts=part.attempts)))


def _halves(parts: list[Part]) -> tuple[list[Part], list[Part]]:
    middle = (len(parts) + 1) // 2
    return parts[:middle], parts[middle:]


def _refusal(part: Part, named: tuple[Culprit, ...], error: ApiError) -> BatchRejected:
    """
    Make the error of one record: its own culprits and their words, and nobody else's.
    """
    culprits = (*(part.refusal.culprits if part.refusal else ()), *named)
    own: BatchRejected = error.as_kind(BatchRejected)
    own.culprits = culprits
    own.messages = tuple(culprit.message for culprit in culprits)
    own.message = "; ".join(map(mask_emails, own.messages))
    own.body = ""
    own.args = (own.message,)
    return own
