"""What a page tells of a run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from omeda_async.outcomes import OutcomeStatus
from omeda_async.report._failures import Failures


@attrs.frozen(kw_only=True)
class Step:
    """A command line that goes on, or begins what is to be done next."""

    why: str
    """What it does, as a sentence."""
    line: str
    """The line, for a shell; without secrets and addresses."""
    note: str = ""
    """What has to be put in before it can be used."""


@attrs.frozen(kw_only=True)
class RunLine:
    """One run of a journal, as a bar on a time line."""

    started: datetime
    ended: datetime | None
    state: str
    """``"complete"``, ``"stopped"``, ``"under way"`` or ``"killed"``."""
    requests: int
    cause: str = ""


@attrs.frozen(kw_only=True)
class Story:
    """All that a page shows."""

    title: str
    """What was done, and at whom."""
    place: str
    """The provider's host."""
    source: str
    """What the page was made of: of the run itself, or of a journal."""
    state: str
    """How the run ended, in a word or two."""
    cause: str = ""
    """Why it ended early."""
    counts: Mapping[OutcomeStatus, int]
    under_way: int = 0
    """Records about which nothing is known yet."""
    requests: int
    seconds: float | None = None
    """How long it took; None where that says little."""
    started: datetime | None = None
    version: str
    failures: Failures
    notes: Sequence[str] = ()
    """What else has to be known, as sentences."""
    steps: Sequence[Step] = ()
    timeline: Mapping[str, Any] | None = None
    """Of a run that was watched: see :meth:`Timeline.figures`."""
    runs: Sequence[RunLine] = ()
    """Of a journal: when each of its runs began and ended."""
