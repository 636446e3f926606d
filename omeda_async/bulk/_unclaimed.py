"""Outcomes that nobody awaits any more: they are told all the same."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from omeda_async import events
from omeda_async._hooks import failure_of, is_async, name_of
from omeda_async._masking import readable
from omeda_async._telling import error_name
from omeda_async.bulk._run_events import RunEvents
from omeda_async.errors import ConfigurationError
from omeda_async.events import logger
from omeda_async.outcomes import Outcome


class Unclaimed:
    """Tells of each outcome that nobody awaits: to a callback, or by a line in the log and an event.

    Args:
        tells: Who tells the hooks.
        operation: What the outcomes are of.
        on_outcome: The callback; None for the log. What it raises is logged, with the outcome it was told.

    Raises:
        ConfigurationError: The callback is none, or is a coroutine function.
    """

    def __init__(self, tells: RunEvents, operation: str, on_outcome: Callable[[Outcome], Any] | None) -> None:
        if on_outcome is not None and (not callable(on_outcome) or is_async(on_outcome)):
            raise ConfigurationError(
                "on_outcome must be a plain function that takes an Outcome: it is called where nothing can be awaited; "
                "put the outcome into a queue there"
            )
        self._tells = tells
        self._operation = operation
        self._on_outcome = on_outcome
        self._untold: deque[Outcome] = deque()

    def add(self, outcome: Outcome) -> None:
        """Take an outcome, to be told by :meth:`tell`."""
        self._untold.append(outcome)

    def tell(self) -> None:
        """Tell of all outcomes. What ends the program in the middle leaves the rest for the next time."""
        while self._untold:
            outcome = self._untold.popleft()
            if self._on_outcome is not None:
                failure = failure_of(self._on_outcome, outcome)
                if failure is None:
                    continue
                logger.error("%s failed: %s", name_of(self._on_outcome), failure)
            self._log(outcome)

    def _log(self, outcome: Outcome) -> None:
        event = self._tells.event(
            events.OutcomeUnclaimed,
            status=outcome.status.value,
            attempts=outcome.attempts,
            error=error_name(outcome.error),
        )
        level = logging.INFO if outcome.status.is_done else logging.WARNING
        logger.log(
            level,
            "%s: nobody awaits this outcome any more: key %s, %s after %d requests%s",
            self._operation,
            "none" if outcome.key is None else readable(repr(outcome.key)),
            outcome.status.value,
            outcome.attempts,
            "" if outcome.error is None else f": {outcome.error}",
            extra=events.extra_of(event),
        )
        self._tells.hooks.tell(event)
