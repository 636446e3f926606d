"""What a hook is told. Events carry counts, ids and statuses; never contents, addresses or secrets."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import attrs

logger = logging.getLogger("omeda_async")


@attrs.frozen(kw_only=True)
class Event:
    """The root of all events."""

    provider: str
    operation: str


@attrs.frozen(kw_only=True)
class AttemptEnded(Event):
    """One HTTP request has got its answer, or has failed to."""

    attempt: int
    """Which one for its call, from 1."""
    status: int | None
    """The HTTP status; None when no answer came."""
    seconds: float
    """How long the answer took, without the wait for the limiter."""
    waited: float
    """Seconds it waited for the limiter."""
    error: str | None = None
    """The class of what went wrong; None for a success."""


@attrs.frozen(kw_only=True)
class RetryPlanned(Event):
    """An attempt failed, and another will be made."""

    attempt: int
    wait: float
    """Seconds of back-off before it may go."""
    error: str


@attrs.frozen(kw_only=True)
class Settled(Event):
    """A doubtful attempt has been looked up."""

    verdict: str
    """``"done"``, ``"too late"``, ``"not done"`` or ``"undecided"``."""


@attrs.frozen(kw_only=True)
class AccountPaused(Event):
    """The provider refused a request for its limits, and the whole account waits."""

    seconds: float


@attrs.frozen(kw_only=True)
class RunEnded(Event):
    """A bulk run has ended."""

    total: int
    counts: dict[str, int]
    requests: int
    complete: bool


@attrs.frozen(kw_only=True)
class OutcomeUnclaimed(Event):
    """A batcher has an outcome that nobody awaits any more, and was given no ``on_outcome``; it is logged, too."""

    status: str
    """The outcome's."""
    attempts: int
    error: str | None
    """The class of what went wrong; None for a success."""


@attrs.frozen(kw_only=True)
class BreakerChanged(Event):
    """A batcher or an outbox has begun or ceased to send nothing, for a cause that would meet every record."""

    state: str
    """``"open"``, ``"half-open"`` or ``"closed"``."""
    seconds: float
    """Until the next record is tried."""
    error: str | None
    """The class of the cause; None once it is closed."""


Hook = Callable[[Event], Any]
"""Called with each event, on the event loop: it must not block. What it raises is logged, and stops nothing."""


def log_event(event: Event) -> None:
    """Log an event: the default hook."""
    if isinstance(event, OutcomeUnclaimed):
        return  # whoever tells it writes a line that says more
    level = logging.INFO if isinstance(event, RunEnded) else logging.DEBUG
    if isinstance(event, AccountPaused | BreakerChanged):
        level = logging.WARNING
    if logger.isEnabledFor(level):
        logger.log(level, "%s", event)


LOGGED_ONLY: tuple[Hook, ...] = (log_event,)


def observe(observer: Callable[[Any], Any], what: Any) -> None:
    """Call one observer; if it fails, that is logged by its type alone, and stops nothing."""
    try:
        observer(what)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 an observer must never cost a record, with a CancelledError neither
        # Without its text and trace, which may show what no log may hold.
        logger.error("%s failed: %s", getattr(observer, "__qualname__", "a hook"), type(error).__name__)  # noqa: TRY400


def emit(hooks: Iterable[Hook], event: Event) -> None:
    """Tell every hook."""
    for hook in hooks:
        observe(hook, event)
