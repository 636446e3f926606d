"""What every method that makes an outbox takes; apart from the outbox itself, which loads SQLite."""

from collections.abc import Callable
from typing import Any, Literal, TypedDict

from omeda_async.limits import Priority
from omeda_async.outcomes import Outcome


class OutboxOptions(TypedDict, total=False):
    """What every method that makes an outbox takes."""

    on_outcome: Callable[[Outcome[Any, Any]], Any] | None
    """Called, on the event loop of the process that delivers, with each outcome; a coroutine function is awaited.

    It is told each outcome at least once: again after a crash, and a minute after it has raised.
    """
    pii: Literal["keep", "hash"]
    """``"keep"``, or ``"hash"`` to keep of a record that has its outcome only a salted hash."""
    retention: float | None
    """Seconds that a record is kept after its outcome, 30 days by default; None keeps it for ever."""
    give_up_after: float | None
    """Seconds after ``put`` from which on a failure is the outcome; None, the default, tries as long as it takes."""
    lease: float
    """Seconds after which another process may deliver, when this one is not heard of any more; 10 by default."""
    max_delay: float
    """Seconds a record waits for others at the most; 0.05 by default."""
    priority: Priority
    """The lane at the limiter; by default the client's, which is interactive."""
