"""How one call is made."""

import math
from collections.abc import Callable
from typing import Final

from omeda_async._quick import quick
from omeda_async._stop import Stop
from omeda_async.errors import LimitWaitExceeded
from omeda_async.limits import Permit, Priority
from omeda_async.outcomes import Tally

_NOBODYS: Final = Tally()


@quick(kw_only=True, eq=False, repr=False)
class CallOptions:
    """How one call is made."""

    priority: Priority = Priority.INTERACTIVE
    max_wait: float | None = None
    """Seconds the limiter may make each attempt wait; None for as long as the deadline allows."""
    explain: bool = True
    """Whether a read finds out what an ambiguous refusal meant."""
    deadline_from_first_permit: bool = False
    """Whether the deadline starts with the first turn at the limiter, not with the call."""
    one_deadline: bool = False
    """Whether all calls for the same records end by the deadline of the first."""
    doubtful: bool = False
    """Whether an earlier run may have made this call already."""
    tally: Tally = _NOBODYS
    """Where every HTTP request made is counted; by default for nobody."""
    permit: Permit | None = None
    """What the limiter has granted already, for whichever attempt is the first."""
    fail_fast: bool = False
    """Whether the call ends with the first failure in doubt, as a smaller request is to be tried instead."""
    stop: Stop | None = None
    """Looked at before every attempt and after every wait; None looks at whether the manager is being closed."""
    run_id: str | None = None
    """The run, batcher or outbox that it belongs to, for those who are told of it."""
    made_for: tuple[str, ...] = ()
    """The ids of the calls that it is made for."""
    waited: float = 0.0
    """Seconds that ``permit`` was waited for."""
    is_late: Callable[[], bool] | None = None
    """Asked right before the first byte of each attempt: whether it must not be written; it sets ``stop`` then."""

    is_hopeless: Callable[[], bool] | None = None
    """Asked before and after a wait for another attempt: whether a call that was certainly not sent is given up."""

    def explained(self, error: LimitWaitExceeded, left: float, deadline: float) -> LimitWaitExceeded:
        """Return the error of a limiter, which knows one wait, in words for who has set two.

        Args:
            error: What the limiter has raised.
            left: Seconds that the call's deadline left for the wait; infinity where it has not begun.
            deadline: What the deadline is, in seconds, as the caller has said it.
        """
        if left == math.inf or (self.max_wait is not None and self.max_wait <= left):
            return error
        text = error.message.replace(f"max_wait={left:g} s", f"the call's deadline of {deadline:g} s")
        return LimitWaitExceeded(text, max_wait=left, next_slot_in=error.next_slot_in)

    def lateness(self, lapses: Callable[[], bool] | None) -> Callable[[], bool] | None:
        """Return what tells right before an attempt whether it is too late for it, also as its permit has lapsed."""
        is_late = self.is_late
        return (lambda: is_late() or lapses()) if is_late and lapses else is_late or lapses


def too_near(deadline: float) -> LimitWaitExceeded:
    """Return the error of a call whose deadline, of so many seconds, leaves no time for an attempt."""
    return LimitWaitExceeded("the call's deadline is too near for another attempt", max_wait=deadline)
