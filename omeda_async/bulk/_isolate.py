"""Finding the culprits of a refused batch: pure, and fed with one answer at a time.

A provider that processes all records of a request or none refuses the good with the bad. Whom it names is taken out
and the rest sent again; where it names nobody the batch is halved until the culprit stands alone.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from itertools import accumulate
from typing import Any, TypeAlias

import attrs

from omeda_async._masking import mask_emails
from omeda_async._result import Result
from omeda_async.bulk._chunks import Size, Sizes, size_of
from omeda_async.bulk._item import WITNESSES, Item, still_doubtful
from omeda_async.errors import ApiError, BatchRejected, Culprit
from omeda_async.outcomes import OutcomeStatus

Blame: TypeAlias = Callable[[Sequence[Any], Iterable[Culprit]], dict[int, tuple[Culprit, ...]]]
Without: TypeAlias = Callable[[Any, Iterable[str | None]], Any]


@attrs.define(eq=False)
class Part:
    """What is left of an item after the ids refused so far."""

    item: Item
    params: Any
    refusal: BatchRejected | None = None
    """What was refused of it, in the provider's words; None while nothing was."""
    attempts: int = 0
    half: int = 0
    """Which half of the first batch it was in."""
    lost: bool = False
    """Whether it was in a request of this run whose answer was lost."""
    earlier_doubt: bool = False
    """Whether an earlier run may have carried it out. A refusal in this run does not disprove that."""


@attrs.define(eq=False)
class Group:
    """Parts that share the next request."""

    parts: list[Part]
    suspect: ApiError | None = None
    """Known to hold a culprit without having been sent: the refusal that says so."""
    partner: "Group | None" = None
    """The other half of a refused group, which holds the culprit if this one is accepted."""
    cause: ApiError | None = None
    """The refusal of the group that this one and its partner were halved from."""
    isolating: bool = False
    """Whether it is sent to find culprits."""
    cut_from: Size | None = None
    """The size of the request that failed and may have been too large; None when none did."""

    @property
    def probes_size(self) -> bool:
        """Whether it is sent to find out which size goes through."""
        return self.cut_from is not None and len(self.parts) > 1

    @property
    def size(self) -> Size:
        """Its records, and their bytes."""
        return size_of([part.item for part in self.parts])


@attrs.define
class Evidence:
    """What the requests of a run have shown about what the provider takes."""

    accepted: bool = False
    """Whether any request was accepted: then no refusal is for a cause that meets every record."""
    sizes: Sizes = attrs.field(factory=Sizes)
    """What is known of how much fits into one request."""
    witnesses: list[int] = attrs.field(factory=lambda: [0, 0])
    """Records refused alone while nothing was accepted, by the half of the batch they were in."""
    texts: set[str] = attrs.field(factory=set)
    """The words they were refused in."""

    @property
    def meets_everyone(self) -> bool:
        """Whether all refusals so far have a cause that is not the records' own."""
        return not self.accepted and min(self.witnesses) >= WITNESSES and len(self.texts) == 1

    def took(self, size: Size, cut_from: Size | None = None) -> None:
        """Note an accepted request; if it was cut from a failed one, that one was too large."""
        self.accepted = True
        self.sizes.took(size)
        if cut_from is not None:
            self.sizes.refuse(cut_from)


class Isolation:
    """Says which group to send next, and what its answer means for its records.

    Args:
        items: The batch.
        blame: Finds whom culprits name among parameters, by position.
        without: Takes refused ids out of parameters; None when nothing is left.
        evidence: What the run has shown so far.
    """

    def __init__(self, items: Sequence[Item], blame: Blame, without: Without, evidence: Evidence | None = None) -> None:
        middle = (len(items) + 1) // 2
        parts = [
            # Where each batch is a single record, every other one stands for the second half.
            Part(
                item,
                item.params,
                half=int(place >= middle) or (len(items) == 1 and item.position % 2),
                earlier_doubt=item.doubtful,
            )
            for place, item in enumerate(items)
        ]
        self._groups = deque([Group(parts)])
        self._blame = blame
        self._without = without
        self._evidence = evidence or Evidence()
        self._alone: list[tuple[Part, ApiError]] = []
        self._took_any = False
        self.closed: list[tuple[Item, Result[Any]]] = []
        self.common_cause: ApiError | None = None
        """Set once the evidence says that the cause would meet every record."""

    def next(self) -> Group | None:
        """Return the group to send next; None when every record is accounted for."""
        while self._groups:
            group = self._take()
            if group.suspect is None:
                return group
            self._split_or_reject(group, group.suspect)
        self._judge_alone()
        return None

    def accepted(self, group: Group, result: Result[Any]) -> None:
        """Take a success: the group's records are done, and its other half must hold the culprit."""
        self._evidence.took(group.size, group.cut_from)
        self._took_any = True
        self._judge_alone()
        for part in group.parts:
            part.attempts += result.attempts
            if part.refusal is None:
                self._close(part, result)
            else:
                self._close(part, attrs.evolve(result, error=part.refusal, known=OutcomeStatus.PARTLY_DONE))
        if group.partner is not None and group.partner in self._groups:
            group.partner.suspect = group.cause

    def refused(self, group: Group, error: ApiError, attempts: int, *, lost: bool = False) -> None:
        """Take a refusal of the whole group, nothing of which was processed.

        Args:
            group: What was refused.
            error: Why.
            attempts: How many it took.
            lost: Were some of them lost? The refusal of the last tells of them if its cause is the records' own.
        """
        self._count(group, attempts, settles=True, lost=lost)
        culprits = error.culprits if isinstance(error, BatchRejected) else ()
        blamed = self._blame([part.params for part in group.parts], culprits)
        if blamed:
            for part in group.parts:
                part.lost = False  # with a culprit in it, whatever request held them before was refused too
            self._take_out(group, blamed, error)
            return
        if len(group.parts) == 1:
            self._note_lone(group.parts[0], error)
        self._split_or_reject(group, error)

    def too_large(self, group: Group, result: Result[Any]) -> None:
        """Take a failure that may be due to size: cut until one goes through, or one record fails alone."""
        said = result.error if isinstance(result.error, ApiError) and result.error.status == 413 else None
        if said is not None:
            self._evidence.sizes.refuse(group.size)
        if len(group.parts) > 1:
            self._count(group, result.attempts, doubtful=result.doubtful)
            self.cut(attrs.evolve(group, cut_from=group.size))
        elif said is not None:
            self._count(group, result.attempts, doubtful=result.doubtful)
            self._note_lone(group.parts[0], said)
            self._split_or_reject(group, said)
        else:
            self._broke_down_alone(group, result)

    def _broke_down_alone(self, group: Group, result: Result[Any]) -> None:
        self.failed(group, result)
        if not self._took_any:
            # Not even one alone goes through: it is not the size.
            pieces = [other for other in self._groups if other.cut_from]
            self._groups = deque(other for other in self._groups if not other.cut_from)
            for piece in pieces:
                self.failed(piece, attrs.evolve(result, attempts=0))

    def cut(self, group: Group) -> None:
        """Replace a group by two pieces of it, as the whole is or may be too large."""
        known = self._evidence.sizes.too_large(group.size)
        pieces = _cut(group.parts, self._evidence.sizes.next_limit()) if known else _halves(group.parts)
        for piece in reversed(pieces):
            self._groups.append(Group(piece, isolating=group.isolating, cut_from=group.cut_from))

    def failed(self, group: Group, result: Result[Any]) -> None:
        """Take a failure as the end of all records of a group."""
        self._count(group, result.attempts, doubtful=result.doubtful)
        for part in group.parts:
            self._close(part, still_doubtful(part.item, result))

    def give_up(self, make: Callable[[Part], Result[Any]], group: Group | None = None) -> None:
        """Close a group, or all that is left, with results of the caller's making."""
        self._judge_alone()
        groups = [group] if group is not None else list(self._groups)
        if group is None:
            self._groups.clear()
        for part in [part for one in groups for part in one.parts]:
            self._recall_doubt(part)
            self._close(part, still_doubtful(part.item, make(part)))

    def _take(self) -> Group:
        enough = [witnesses >= WITNESSES for witnesses in self._evidence.witnesses]
        if sum(enough) == 1 and not self._evidence.accepted and len(self._evidence.texts) == 1:
            # Everything here was refused, one by one and in the same words: see whether the other half is too.
            other = enough.index(False)
            for group in reversed(self._groups):
                if group.parts[0].half == other:
                    self._groups.remove(group)
                    return group
        return self._groups.pop()

    def _split_or_reject(self, group: Group, error: ApiError) -> None:
        if len(group.parts) == 1:
            part = group.parts[0]
            own = error if part.refusal is None else _joined(part.refusal, error)
            self._alone.append((part, own))
            if self._evidence.accepted:
                self._judge_alone()
            return
        left, right = (Group(half, cause=error, isolating=True) for half in _halves(group.parts))
        left.partner = right
        self._groups.extend((right, left))

    def _take_out(self, group: Group, blamed: dict[int, tuple[Culprit, ...]], error: ApiError) -> None:
        rest = []
        for place, part in enumerate(group.parts):
            named = blamed.get(place, ())
            if named:
                part.refusal = _refusal(part, named, error)
                part.params = self._without(part.params, [culprit.id for culprit in named])
                # With the refused id in it, whatever request held it before was refused too.
                part.item.doubtful = part.earlier_doubt = False
            if part.params is None:
                self._close(part, Result(error=part.refusal, known=OutcomeStatus.REJECTED))
            else:
                rest.append(part)
        if rest:
            self._groups.append(Group(rest, isolating=True))

    def _note_lone(self, part: Part, error: ApiError) -> None:
        if self._evidence.accepted:
            return
        self._evidence.witnesses[part.half] += 1
        self._evidence.texts.add(mask_emails(error.message))
        if self._evidence.meets_everyone:
            self.common_cause = error

    def _judge_alone(self) -> None:
        """Close those who were refused alone: for a reason of their own, unless the cause meets everyone."""
        alone, self._alone = self._alone, []
        common = self.common_cause is not None or self._evidence.meets_everyone
        for part, error in alone:
            self._recall_doubt(part)
            # That it is too large alone says nothing about this record, as long as no request goes through.
            in_vain = common or (error.status == 413 and not self._evidence.accepted)
            known = OutcomeStatus.FAILED if in_vain else OutcomeStatus.REJECTED
            result: Result[Any] = Result(error=_certain(error), known=known)
            settles = self._evidence.accepted and not common and error.status != 413
            self._close(part, result if settles else still_doubtful(part.item, result))

    def _recall_doubt(self, part: Part) -> None:
        """A refusal whose cause may meet everyone does not tell what became of a request that was lost before it."""
        if part.lost and (self.common_cause is not None or not self._evidence.accepted):
            part.item.doubtful = True

    def _count(
        self, group: Group, attempts: int, *, doubtful: bool = False, settles: bool = False, lost: bool = False
    ) -> None:
        for part in group.parts:
            part.attempts += attempts
            part.lost = part.lost or doubtful or lost
            # Only a refusal tells what became of a larger request before; a size that is too large does not.
            part.item.doubtful = doubtful or part.earlier_doubt or (part.item.doubtful and not settles)

    def _close(self, part: Part, result: Result[Any]) -> None:
        if result.attempts != part.attempts:
            result = attrs.evolve(result, attempts=part.attempts)
        self.closed.append((part.item, result))


def _certain(error: ApiError) -> ApiError:
    if error.sent:
        error = copy(error)
        error.sent = False
    return error


def _halves(parts: list[Part]) -> tuple[list[Part], list[Part]]:
    middle = (len(parts) + 1) // 2
    return parts[:middle], parts[middle:]


def _cut(parts: list[Part], limit: Size) -> tuple[list[Part], list[Part]]:
    """Cut parts that exceed a limit in two: as many as it allows, but at least one, and the rest."""
    ends = list(accumulate(part.item.size for part in parts))
    count = int(max(1, min(bisect_right(ends, limit.bytes), limit.entries)))
    return parts[:count], parts[count:]


def _refusal(part: Part, named: tuple[Culprit, ...], error: ApiError) -> BatchRejected:
    """Return the error of one record, with its own culprits and their words only."""
    culprits = (*(part.refusal.culprits if part.refusal else ()), *named)
    own: BatchRejected = error.as_kind(BatchRejected)
    own.culprits = culprits
    own.messages = tuple(culprit.message for culprit in culprits)
    own.message = "; ".join(map(mask_emails, own.messages))
    own.body = ""
    own.args = (own.message,)
    return own


def _joined(refusal: BatchRejected, error: ApiError) -> BatchRejected:
    """Return the error of a record that was refused piece by piece: some ids by name, then the rest."""
    own: BatchRejected = error.as_kind(BatchRejected)
    own.culprits = refusal.culprits
    own.messages = (*refusal.messages, *error.messages)
    own.message = f"{refusal.message}; {error.message}"
    own.args = (own.message,)
    return own
