"""Whether what a record meets with is its own affair, or would meet every other record, too."""

from collections import Counter
from copy import copy
from typing import Any

import attrs

from omeda_async import _clock
from omeda_async._decide import OWN_WORD, backoff
from omeda_async._operation import Operation, finds_nothing
from omeda_async.bulk._item import WITNESSES
from omeda_async.errors import (
    AlreadyDone,
    AnswerLost,
    ApiError,
    ConnectionFailed,
    OmedaAsyncError,
    ServerError,
    TooLate,
    UnreadableAnswer,
)
from omeda_async.settings import RetryPolicy

SILENT = 2 * WITNESSES
"""Records that have to get no answer of the provider's, in all their attempts, before a run that got none stops."""
OUTAGE = 60.0
"""Seconds that a provider which has answered has to be away, for as many records in a row, before a run stops."""


@attrs.define
class CommonCause:
    """Notes what the requests of a run end with, and says when that would meet every record.

    A wrong URL, a host that has moved, a network without a way there, a server that gives no answer of the provider's:
    the first few records show it. Once the provider has done what it was asked for, redirects alone are taken for
    everyone's as soon: no record is moved. A provider that goes away then may come back, so that records are begun more
    and more slowly; one that stays away stops the run, too, before every record has failed of it.
    """

    operation: Operation[Any, Any]
    policy: RetryPolicy = attrs.field(factory=RetryPolicy)
    alive: float | None = None
    """The deadline of a call that the provider has carried out, the latest: what tells when it was there, for free."""
    proved: bool = False
    """Whether the provider has done what it was asked for, or told that it was done."""
    is_certain: bool = False
    """Whether the latest error suspected would meet every record."""
    _reached: bool = False
    _answered: bool = False
    met: Counter[str] = attrs.field(factory=Counter)
    """How many have met with what may be for a common cause, since a success, by its kind."""
    away: int = 0
    """How many requests in a row have got no word of the provider's, in all their attempts."""
    _away_since: float = 0.0
    _gone: bool = False

    def took(self) -> None:
        """Note that the provider has done what it was asked for."""
        self.proved, self.away = True, 0
        self.met.clear()

    def rest(self) -> float:
        """Return the seconds to wait before the next record is begun, as the provider seems to be away."""
        return backoff(self.away - WITNESSES, self.policy) if self.away > WITNESSES else 0.0

    def cause(self, error: OmedaAsyncError) -> OmedaAsyncError:
        """Return what a run stops for: the error, and how long it has been so where others were done before."""
        if not self._gone:
            return error
        seconds = _clock.now() - self._away_since
        words = f"no answer for {seconds:.0f} s, to {self.away} requests in a row with all their attempts"
        told = copy(error)
        told.message = f"{words}; the last: {error.message}"
        told.args = (told.message,)
        return told

    def suspects(self, error: OmedaAsyncError | None, *, lone: bool = True, deadline: float | None = None) -> bool:
        """Note what a request ended with; return whether that may be for a cause that meets everyone.

        Args:
            error: What it ended with; None for its success.
            lone: Whether it was about one record: that many get no answer may be for their number.
            deadline: That of its call, which tells when it began; None: now.
        """
        if error is None or isinstance(error, AlreadyDone | TooLate):
            self.took()
            return False
        if self.operation.hits_everyone(error):
            self.is_certain, self._gone = True, False
            return True
        kind = kind_of(error)
        self._reached = self._reached or isinstance(error, ApiError | UnreadableAnswer)
        self._answered = self._answered or (kind is None and isinstance(error, ApiError))
        self._note_silence(error, kind, lone=lone, deadline=deadline)
        if self._gone:
            self.is_certain = True
            return True
        if kind is None or (self.proved and kind != "redirected") or (kind == "unreached" and self._reached):
            return False
        if kind == "unanswered" and (self._answered or not lone):
            return False
        self.met[kind] += 1
        enough = SILENT if kind == "unanswered" else WITNESSES
        self.is_certain = self.met[kind] >= enough
        return self.is_certain or kind != "unanswered"

    def _note_silence(self, error: OmedaAsyncError, kind: str | None, *, lone: bool, deadline: float | None) -> None:
        """Note whether the provider seems to be away, and whether that has gone on for so long that it is gone."""
        if kind == "unreached" or (kind == "unanswered" and not _is_own_word(error)):
            if self.away == 0:
                known = [one - self.policy.deadline for one in (deadline, self.alive) if one is not None]
                self._away_since = _clock.now() if deadline is None else max(known)
            self.away += kind == "unreached" or lone
        elif _is_own_word(error) or (isinstance(error, ApiError) and not error.sent):  # a page is nobody's word
            self.away = 0
        enough = self.away >= SILENT and (self.proved or self._answered)
        self._gone = enough and _clock.now() - self._away_since >= OUTAGE


def _is_own_word(error: OmedaAsyncError) -> bool:
    return isinstance(error, ServerError) and error.status in OWN_WORD


def kind_of(error: OmedaAsyncError) -> str | None:
    """Return what kind of cause an error may be for that meets everyone; None where it is the provider's own word."""
    if isinstance(error, ConnectionFailed):
        return "unreached"
    if isinstance(error, ApiError | UnreadableAnswer) and 300 <= error.status <= 399:
        return "redirected"
    if isinstance(error, AnswerLost | UnreadableAnswer | ServerError):
        return "unanswered"
    return "nothing there" if finds_nothing(error) else None
