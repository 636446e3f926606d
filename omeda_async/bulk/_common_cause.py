"""Whether what a record meets with is its own affair, or would meet every other record, too."""

from collections import Counter
from typing import Any

import attrs

from omeda_async._operation import Operation, finds_nothing
from omeda_async.bulk._item import WITNESSES
from omeda_async.errors import AlreadyDone, ApiError, ConnectionFailed, OmedaAsyncError, TooLate, UnreadableAnswer


@attrs.define
class CommonCause:
    """Notes what the requests of a run end with, and says when that would meet every record.

    A wrong URL, a host that has moved, a network without a way there: the first few records show it. Once the provider
    has done what it was asked for, none of these is taken for everyone's any more.
    """

    operation: Operation[Any, Any]
    proved: bool = False
    """Whether the provider has done what it was asked for, or told that it was done."""
    is_certain: bool = False
    """Whether the latest error suspected would meet every record."""
    _reached: bool = False
    _met: Counter[str] = attrs.field(factory=Counter)

    def suspects(self, error: OmedaAsyncError | None) -> bool:
        """Note what a request ended with, None for its success; whether that may be for a cause that meets everyone."""
        if error is None or isinstance(error, AlreadyDone | TooLate):
            self.proved = True
            return False
        if self.operation.hits_everyone(error):
            self.is_certain = True
            return True
        kind = _kind_of(error)
        self._reached = self._reached or isinstance(error, ApiError | UnreadableAnswer)
        if kind is None or self.proved or (kind == "unreached" and self._reached):
            return False
        self._met[kind] += 1
        self.is_certain = self._met[kind] >= WITNESSES
        return True


def _kind_of(error: OmedaAsyncError) -> str | None:
    if isinstance(error, ConnectionFailed):
        return "unreached"
    if isinstance(error, ApiError | UnreadableAnswer) and 300 <= error.status <= 399:
        return "redirected"
    return "nothing there" if finds_nothing(error) else None
