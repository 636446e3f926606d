"""What is told of a bulk run, a batcher or an outbox."""

import logging
from collections import Counter
from typing import Any

from omeda_async import _clock, events
from omeda_async._telling import CallEvents, common_fields, error_name, new_id
from omeda_async.bulk._breaker import Breaker
from omeda_async.bulk._job import Work
from omeda_async.outcomes import OutcomeStatus, Tally


class RunEvents:
    """Tells the events of a bulk run, a batcher or an outbox, and counts its outcomes for that.

    Args:
        work: What it does.
        kind: Which of them it is.
    """

    def __init__(self, work: Work, kind: events.Kind) -> None:
        self.run_id = new_id()
        self.tally = Tally()
        """The sums that are told."""
        self._account = work.account
        self.hooks = work.account.hooks
        """Who hears it."""
        self._common = common_fields(work.account.provider, work.operation, name=work.name, run_id=self.run_id)
        self.kind = kind
        self._told: Counter[OutcomeStatus] = Counter()
        self._began: float | None = None
        self._has_ended = False

    @property
    def is_heard(self) -> bool:
        """Whether anybody hears what is told of single calls and records."""
        hooks = self.hooks
        return hooks.is_watched or (hooks.is_logged and events.logger.isEnabledFor(logging.DEBUG))

    def started(self) -> None:
        """Tell that it begins; doing it again does nothing."""
        if self._began is None:
            self._began = _clock.now()
            self.tell(events.RunStarted, kind=self.kind)

    def call(self) -> CallEvents | None:
        """Return who tells of the call that one record of a batcher is to its caller; None where nobody hears."""
        return CallEvents(self.hooks, self._account.url, self._common, 1) if self.is_heard else None

    def reached(self) -> None:
        """Tell which outcomes have come since this was last told."""
        if self.is_heard and (new := self.tally.counts - self._told):
            self._told = self.tally.counts.copy()
            self.tell(events.OutcomesReached, counts=_by_name(new))

    def count(self, status: OutcomeStatus, records: int = 1) -> None:
        """Count outcomes, and tell them."""
        self.tally.counts[status] += records
        self.reached()

    def breaker_changed(self, breaker: Breaker, now: float) -> None:
        """Tell that records are not sent any more, or are sent again."""
        self.tell(
            events.BreakerChanged,
            state=breaker.state.value,
            seconds=breaker.wait(now),
            error=error_name(breaker.cause),
        )

    def ended(self, *, complete: bool = True) -> None:
        """Tell that it has ended, and what has become of its records; once, and if it was told that it began."""
        if self._began is None or self._has_ended:
            return
        self._has_ended = True
        self.reached()
        self.tell(
            events.RunEnded,
            kind=self.kind,
            total=self.tally.counts.total(),
            counts=_by_name(self.tally.counts),
            requests=self.tally.requests,
            complete=complete,
            seconds=_clock.now() - self._began,
        )

    def tell(self, what: type[events.Event], /, **values: Any) -> None:
        """Tell an event of this run."""
        self.hooks.tell(self.event(what, **values))

    def event(self, what: type[events.Event], /, **values: Any) -> events.Event:
        """Return an event of this run."""
        return what(**self._common, **values)


def _by_name(counts: Counter[OutcomeStatus]) -> dict[str, int]:
    return {status.value: number for status, number in counts.items()}
