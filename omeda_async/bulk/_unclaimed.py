"""Outcomes that nobody awaits any more: they are told all the same."""

import inspect
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from omeda_async import events
from omeda_async._account import Account
from omeda_async._masking import readable
from omeda_async.errors import ConfigurationError
from omeda_async.events import logger
from omeda_async.outcomes import Outcome


class Unclaimed:
    """Tells of each outcome that nobody awaits: to a callback, or by a line in the log and an event.

    Args:
        account: Whose hooks hear of it.
        operation: What the outcomes are of.
        on_outcome: The callback; None for the log. What it raises is logged, with the outcome it was told.

    Raises:
        ConfigurationError: The callback is none, or is a coroutine function.
    """

    def __init__(self, account: Account, operation: str, on_outcome: Callable[[Outcome], Any] | None) -> None:
        if on_outcome is not None and (not callable(on_outcome) or inspect.iscoroutinefunction(on_outcome)):
            raise ConfigurationError(
                "on_outcome must be a plain function that takes an Outcome: it is called where nothing can be awaited; "
                "put the outcome into a queue there"
            )
        self._account = account
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
            if self._on_outcome is None or not self._told(self._on_outcome, outcome):
                self._log(outcome)

    def _told(self, on_outcome: Callable[[Outcome], Any], outcome: Outcome) -> bool:
        told = False

        def call(one: Outcome) -> None:
            nonlocal told
            on_outcome(one)
            told = True

        call.__qualname__ = getattr(on_outcome, "__qualname__", "on_outcome")
        events.observe(call, outcome)
        return told

    def _log(self, outcome: Outcome) -> None:
        level = logging.INFO if outcome.status.is_done else logging.WARNING
        logger.log(
            level,
            "%s: nobody awaits this outcome any more: key %s, %s after %d requests%s",
            self._operation,
            "none" if outcome.key is None else readable(repr(outcome.key)),
            outcome.status.value,
            outcome.attempts,
            "" if outcome.error is None else f": {outcome.error}",
        )
        if self._account.hooks:
            event = events.OutcomeUnclaimed(
                provider=self._account.provider,
                operation=self._operation,
                status=outcome.status.value,
                attempts=outcome.attempts,
                error=None if outcome.error is None else type(outcome.error).__name__,
            )
            events.emit(self._account.hooks, event)
