"""What a hook is told. Events carry counts, ids of ours, statuses and times; never contents, addresses or secrets.

``docs/events.md`` shows all of them with their fields, and in which order they come.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs

logger = logging.getLogger("omeda_async")


@attrs.frozen(kw_only=True)
class Event:
    """The root of all events. What it is not about is None."""

    provider: str
    """``"omeda"``, ``"ocamba"`` or ``"journey_manager"``."""
    operation: str
    """What was asked for, as it is called: ``"campaigns.cancel"``; of a run ``"campaigns.cancel_many"``."""
    run_id: str | None = None
    """The same in all events of one bulk run, batcher or outbox; None for single calls."""
    call_id: str | None = None
    """The same in all events of one call: a request with all its attempts."""
    method: str | None = None
    """The HTTP method."""
    path: str | None = None
    """The path from ``base_url`` on, with names in place of ids: ``"/v1/hood/campaigns/{campaign_id}/cancel"``."""

    def __str__(self) -> str:
        told = (f"{name}={value!r}" for name, value in fields_of(self).items() if value is not None and value != ())
        return f"{type(self).__name__}({', '.join(told)})"


Kind = Literal["bulk", "batcher", "outbox"]


@attrs.frozen(kw_only=True)
class RunStarted(Event):
    """A bulk run has begun, a batcher was given its first record, or an outbox was opened."""

    kind: Kind
    """``"bulk"``, ``"batcher"`` or ``"outbox"``."""


@attrs.frozen(kw_only=True)
class CallStarted(Event):
    """A call has begun: nothing was sent yet. So has an ``add`` of a batcher, which makes no attempts itself."""

    records: int
    """Records that it is about; 0 for a read."""
    made_for: tuple[str, ...] = ()
    """The ``call_id`` of the call whose lost answer this one looks up, or of those who share it at a batcher."""


@attrs.frozen(kw_only=True)
class AttemptStarted(Event):
    """The limiter has let an HTTP request go."""

    base_url: str = ""
    """Where to; the settings' own."""
    attempt: int
    """Which one for its call, from 1."""
    waited: float
    """Seconds it waited for the limiter."""


@attrs.frozen(kw_only=True)
class AttemptEnded(Event):
    """One HTTP request has got its answer, or has failed to."""

    base_url: str = ""
    """Where it went."""
    attempt: int
    """Which one for its call, from 1."""
    status: int | None
    """The HTTP status; None when no answer came."""
    seconds: float
    """How long the answer took, without the wait for the limiter."""
    waited: float
    """Seconds it waited for the limiter."""
    error: str | None = None
    """The class of what went wrong, ``"CancelledError"`` for one that was cancelled; None for a success."""


@attrs.frozen(kw_only=True)
class RetryPlanned(Event):
    """An attempt failed, and another will be made."""

    attempt: int
    """The one that failed."""
    wait: float
    """Seconds of back-off before it may go."""
    error: str
    """The class of what went wrong."""


@attrs.frozen(kw_only=True)
class Settled(Event):
    """A doubtful attempt has been looked up."""

    verdict: str
    """``"done"``, ``"too late"``, ``"not done"`` or ``"undecided"``."""


@attrs.frozen(kw_only=True)
class CallEnded(Event):
    """A call has its result, or was cancelled."""

    outcome: str
    """The ``OutcomeStatus`` that it means for its records, though a run may try other ways for them; for one that was
    cancelled, what is certain then."""
    attempts: int
    """HTTP requests made, those of reads included."""
    seconds: float
    """How long it took, all waits included."""
    error: str | None = None
    """The class of what went wrong; None for a success."""


@attrs.frozen(kw_only=True)
class AccountPaused(Event):
    """The provider refused a request for its limits, and the whole account waits.

    It names the call that was refused, if that was one of this manager; else its ``operation`` is ``"*"``.
    """

    seconds: float
    """How long."""


@attrs.frozen(kw_only=True)
class OutcomesReached(Event):
    """Records have their outcomes: of a run, a batcher or an outbox as they come, of a single call at its end."""

    counts: Mapping[str, int]
    """How many since the last such event, by ``OutcomeStatus``."""


@attrs.frozen(kw_only=True)
class RunEnded(Event):
    """A bulk run has ended, or a batcher or an outbox was closed."""

    kind: Kind = "bulk"
    """``"bulk"``, ``"batcher"`` or ``"outbox"``."""
    total: int
    """Records with an outcome."""
    counts: Mapping[str, int]
    """How many of each ``OutcomeStatus``."""
    requests: int
    """HTTP requests made."""
    complete: bool
    """Whether every record that was read has its outcome; what an outbox still holds is not told here."""
    seconds: float = 0.0
    """How long it took."""


@attrs.frozen(kw_only=True)
class OutcomeUnclaimed(Event):
    """A batcher has an outcome that nobody awaits any more, and was given no ``on_outcome``; it is logged, too."""

    status: str
    """The outcome's."""
    attempts: int
    """HTTP requests its record took part in."""
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
"""Called with each event, on the event loop: it must not block. What it raises is logged once, and stops nothing."""


def fields_of(event: Event) -> dict[str, Any]:
    """Return the fields of an event by their names."""
    return {field.name: getattr(event, field.name) for field in attrs.fields(type(event))}


def extra_of(event: Event) -> dict[str, Any]:
    """Return what a line of the log has beside its text: the event's name and fields."""
    return {"event": type(event).__name__, **fields_of(event)}


def log_event(event: Event) -> None:
    """Log an event. Its fields are attributes of the record, too (``extra``), and its name is ``record.event``."""
    if isinstance(event, OutcomeUnclaimed):
        return  # whoever tells it writes a line that says more
    level = logging.INFO if isinstance(event, RunStarted | RunEnded) else logging.DEBUG
    if isinstance(event, AccountPaused | BreakerChanged):
        level = logging.WARNING
    if logger.isEnabledFor(level):
        logger.log(level, "%s", event, extra=extra_of(event))


LOGGED_ONLY: tuple[Hook, ...] = (log_event,)
