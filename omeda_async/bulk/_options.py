"""What methods take that make a shared run or an outbox; apart from these, which load psycopg or SQLite."""

from collections.abc import Callable
from typing import Any, Literal, TypedDict

import attrs

from omeda_async._checks import check_duration, check_one_of
from omeda_async.errors import ConfigurationError
from omeda_async.limits import Priority
from omeda_async.outcomes import Outcome


class SharedOptions(TypedDict, total=False):
    """What every method that makes a shared run takes."""

    concurrency: int | None
    """Calls under way at the most, in this process; None leaves it to the provider's default."""
    priority: Priority
    """The lane at the limiter; bulk by default."""
    max_isolation_requests: int
    """Requests that finding the culprits of refused batches may cost in each chunk."""
    lease: float
    """Seconds after which a chunk is another process's, when this one is not heard of any more; 30 by default, from 0.1
    to 86,400."""


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


@attrs.frozen(kw_only=True)
class OutboxSettings:
    """The same, with what holds where nothing is said."""

    on_outcome: Callable[[Outcome[Any, Any]], Any] | None = None
    pii: str = "keep"
    retention: float | None = 30 * 86400.0
    give_up_after: float | None = None
    lease: float = 10.0
    max_delay: float = 0.05
    priority: Priority | None = None

    def __attrs_post_init__(self) -> None:
        if self.on_outcome is not None and not callable(self.on_outcome):
            raise ConfigurationError("on_outcome must be callable: it is given an Outcome")
        if self.pii not in {"keep", "hash"}:
            raise ConfigurationError("pii must be 'keep' or 'hash'")
        for name in ("retention", "give_up_after"):
            if (seconds := getattr(self, name)) is not None:
                check_duration(name, seconds, zero=True)
        check_duration("lease", self.lease)
        check_duration("max_delay", self.max_delay, zero=True)
        if self.priority is not None:
            check_one_of("priority", self.priority, Priority)
