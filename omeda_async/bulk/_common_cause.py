"""Whether what a record meets with is its own affair, or would meet every other record, too."""

from collections import Counter
from typing import Any

import attrs

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

SILENT = 2 * WITNESSES
"""Records that have to get no answer of the provider's, in all their attempts, before a run that got none stops."""


@attrs.define
class CommonCause:
    """Notes what the requests of a run end with, and says when that would meet every record.

    A wrong URL, a host that has moved, a network without a way there, a server that gives no answer of the provider's:
    the first few records show it. Once the provider has done what it was asked for, none of these is taken for
    everyone's any more, but redirects: no record is moved.
    """

    operation: Operation[Any, Any]
    proved: bool = False
    """Whether the provider has done what it was asked for, or told that it was done."""
    is_certain: bool = False
    """Whether the latest error suspected would meet every record."""
    _reached: bool = False
    _answered: bool = False
    met: Counter[str] = attrs.field(factory=Counter)
    """How many have met with what may be for a common cause, since a success, by its kind."""

    def took(self) -> None:
        """Note that the provider has done what it was asked for."""
        self.proved = True
        self.met.clear()

    def suspects(self, error: OmedaAsyncError | None, *, lone: bool = True) -> bool:
        """Note what a request ended with; whether that may be for a cause that meets everyone.

        Args:
            error: What it ended with; None for its success.
            lone: Whether it was about one record: that many get no answer may be for their number.
        """
        if error is None or isinstance(error, AlreadyDone | TooLate):
            self.took()
            return False
        if self.operation.hits_everyone(error):
            self.is_certain = True
            return True
        kind = kind_of(error)
        self._reached = self._reached or isinstance(error, ApiError | UnreadableAnswer)
        self._answered = self._answered or (kind is None and isinstance(error, ApiError))
        if kind is None or (self.proved and kind != "redirected") or (kind == "unreached" and self._reached):
            return False
        if kind == "unanswered" and (self._answered or not lone):
            return False
        self.met[kind] += 1
        enough = SILENT if kind == "unanswered" else WITNESSES
        self.is_certain = self.met[kind] >= enough
        return self.is_certain or kind != "unanswered"


def kind_of(error: OmedaAsyncError) -> str | None:
    """Return what kind of cause an error may be for that meets everyone; None where it is the provider's own word."""
    if isinstance(error, ConnectionFailed):
        return "unreached"
    if isinstance(error, ApiError | UnreadableAnswer) and 300 <= error.status <= 399:
        return "redirected"
    if isinstance(error, AnswerLost | UnreadableAnswer | ServerError):
        return "unanswered"
    return "nothing there" if finds_nothing(error) else None
