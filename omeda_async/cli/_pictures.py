"""A run in pictures, for --report: what is collected while it goes on, and the page."""

from collections.abc import Iterator
from typing import Any, Final

import attrs

from omeda_async import BulkReport, Outcome, __version__
from omeda_async.cli._files import refusing, replacing
from omeda_async.cli._order import Order
from omeda_async.cli._outcomes import advice, reason
from omeda_async.cli._screen import notes, say, shown
from omeda_async.cli._words import cause_in_words
from omeda_async.outcomes import UNSETTLED
from omeda_async.report._failures import Failures, names_of
from omeda_async.report._journal import again, story_of
from omeda_async.report._lines import step
from omeda_async.report._page import page_of
from omeda_async.report._story import Step, Story
from omeda_async.report._timeline import Timeline
from omeda_async.rows import Row

PRIVATE: Final = 0o600
"""A new page can be read by its owner: it names records."""


@attrs.define
class Pictures:
    """Collects what a page shows of one run."""

    order: Order
    timeline: Timeline
    failures: Failures = attrs.field(factory=lambda: Failures(word="row"))
    _figures: dict[str, Any] | None = None

    @classmethod
    def of(cls, order: Order) -> "Pictures":
        """Begin, with the windows that the settings have."""
        return cls(order, Timeline(windows=order.settings.rate_limit.windows))

    def take(self, outcome: Outcome) -> None:
        """Take the outcome of a record."""
        if outcome.status.is_done:
            return
        number = outcome.record.number if isinstance(outcome.record, Row) else outcome.position + 1
        error = outcome.error
        self.failures.add(
            outcome.status,
            number,
            names=names_of(outcome.record, outcome.key),
            attempts=outcome.attempts,
            error="" if error is None else type(error).__name__,
            message=reason(outcome),
        )

    def over(self) -> None:
        """Note that the run has ended now."""
        self._figures = self.timeline.figures()

    def write(self, report: BulkReport, rows: int, cause: str, *, interrupted: bool, unlisted: bool) -> None:
        """Write the page.

        Args:
            report: The run's.
            rows: Records in the input.
            cause: Why it ended early; empty where it did not.
            interrupted: Whether somebody stopped it.
            unlisted: Whether some records were not reported one by one.

        Raises:
            ConfigurationError: It cannot be written.
        """
        asked = self.order.asked
        state = "interrupted" if interrupted else "stopped" if cause or report.total < rows else "complete"
        left = report.total < rows or any(map(report.counts.get, UNSETTLED))
        story = Story(
            title=f"{self.order.title} at {self.order.provider.name}",
            place=self.order.where["host"],
            source="run",
            state=state,
            cause=cause,
            counts=report.counts,
            under_way=max(0, rows - report.total),
            requests=report.requests,
            seconds=report.duration,
            started=self.timeline.started,
            version=__version__,
            failures=self.failures,
            notes=[*self._notes(unlisted=unlisted, left=left)],
            steps=[*self._steps(left=left)],
            timeline=self._figures,
        )
        write_page(story, str(asked.report))

    def _notes(self, *, unlisted: bool, left: bool) -> Iterator[str]:
        if unlisted:
            yield "The run was broken off: not every record that is not done was reported, and is listed below."
        if left and self.order.asked.journal is None:
            yield "The run kept no journal (--journal), so that the same command would send every record again."
        if self.order.asked.share_limits:
            yield "The limits are shared with other processes. This page shows the requests of this run only."

    def _steps(self, *, left: bool) -> Iterator[Step]:
        journal = self.order.asked.journal
        if journal is None or not (left or self.failures.total):
            return
        if not left:
            yield again(journal)
            return
        note = "Its input came on standard input: give it again." if self.order.asked.file == "-" else ""
        yield step("Go on where the run stopped: what is settled is not sent again.", self.order.words, note)


def write_journal(journal: str, report: str) -> None:
    """Write the page of a journal."""
    story = story_of(journal, advice)
    runs = [attrs.evolve(run, cause=cause_in_words(run.cause)) for run in story.runs]
    write_page(attrs.evolve(story, cause=cause_in_words(story.cause), runs=runs), report)


def write_page(story: Story, report: str) -> None:
    """Write a page, which takes the place of an earlier one once it is whole.

    Raises:
        ConfigurationError: It cannot be written.
    """
    with refusing(f"--report {report} cannot be written"), replacing(report, mode=PRIVATE) as stream:
        stream.writelines(page_of(story))
    say(notes(), f"A page of it is in {shown(report)}.", "dim")
