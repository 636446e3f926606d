"""What reading an answer has in common for all providers: JSON, headers, the error class of a status."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import attrs
import orjson

from omeda_async._masking import mask_emails
from omeda_async._quick import quick
from omeda_async.errors import (
    ApiError,
    AuthenticationFailed,
    BadRequest,
    Conflict,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    ServerError,
    UnreadableAnswer,
)

NO_JSON: Final = object()
"""What ``load_json`` gives for a body that is none."""

LONGEST_WAIT: Final = 86_400.0
"""Seconds: a longer ``Retry-After`` is cut to this."""
LONGEST_SENTENCE: Final = 1000
"""How much of a provider's message is shown, and searched for its meaning; hostile ones are longer."""

_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: BadRequest,
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    429: RateLimited,
}
_MARKUP: Final = re.compile(rb"\s*<[!?a-zA-Z]")


@quick(eq=False)
class Received:
    """A whole answer with what it is the answer to; makes the errors that speak of it."""

    provider: str
    operation: str
    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)

    @property
    def accepted(self) -> bool:
        """Is it a 2xx?"""
        return 200 <= self.status <= 299

    @property
    def refused(self) -> bool:
        """Is it a 4xx or 5xx?"""
        return 400 <= self.status <= 599

    def error(self, kind: type[ApiError] | None = None, *, sent: bool | None = None, **details: Any) -> ApiError:
        """Make the error this answer is.

        Args:
            kind: its class; by default the one of its status.
            sent: may the request have been carried out? By default what its status says.
            details: further attributes of the error; ``message`` defaults to the first of ``messages``.
        """
        kind = kind or class_of(self.status)
        message = (
            _concise(details.pop("message", None) or "") or _sentence(details.get("messages", ())) or self._phrase()
        )
        return kind(
            message,
            provider=self.provider,
            operation=self.operation,
            sent=may_have_been_carried_out(self.status) if sent is None else sent,
            status=self.status,
            retry_after=retry_after(self.headers),
            body=self.body,
            **details,
        )

    def unreadable(self, reason: str) -> UnreadableAnswer:
        """Make the error of an answer that proves neither success nor failure."""
        return UnreadableAnswer(
            f"{self._phrase()}: {reason}",
            provider=self.provider,
            operation=self.operation,
            sent=True,
            status=self.status,
            body=self.body,
        )

    def _phrase(self) -> str:
        try:
            return f"answered {self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"answered {self.status}"


def class_of(status: int) -> type[ApiError]:
    """Return the error class of a status. One past 599 counts as a 5xx (RFC 9110, section 15)."""
    return ServerError if status >= 500 else _BY_STATUS.get(status, ApiError)


def may_have_been_carried_out(status: int) -> bool:
    """Whether a request answered with this error status may have had its effect: from 500 on but for 503."""
    return status >= 500 and status != 503


def load_json(body: bytes) -> Any:
    """Read JSON, with or without a byte order mark; ``NO_JSON`` when it is none."""
    try:
        return orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return NO_JSON


def is_markup(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a body is HTML or XML, by its content type or its first characters."""
    content_type = headers.get("Content-Type", "").casefold()
    return bool(body.strip()) and ("html" in content_type or _MARKUP.match(body) is not None)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After`` in seconds, at most a day; -1 is kept as it is, and what makes no sense is None.

    An HTTP date counts from the answer's own ``Date`` header: that needs no clock of ours. The limiter, which has a
    clock, reads everything else alike.
    """
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds_until(text, headers.get("Date", "")) if text else math.nan
    return min(seconds, LONGEST_WAIT) if math.isfinite(seconds) and (seconds >= 0 or seconds == -1) else None


def _seconds_until(until: str, now: str) -> float:
    try:
        return max(0.0, (_moment(until) - _moment(now)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return math.nan


def _moment(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def text_of(value: Any) -> str | None:
    """Read an id or a name that comes as a string or an integer; anything else, and an empty one, is None."""
    if isinstance(value, str):
        return value if value.strip() else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def lowered(value: Any) -> dict[str, Any]:
    """Return an object with its keys in lower case; no entries for anything else."""
    return {key.casefold(): item for key, item in value.items()} if isinstance(value, dict) else {}


def texts_in(value: Any, *names: str) -> tuple[str, ...]:
    """Collect the texts of a list of strings or objects, of one of them alone, or of an object's values.

    Args:
        value: Such as ``[{"Error": "…"}, "…"]``.
        names: The lower-case keys an object has its text under; without any of them all its texts count.
    """
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    return tuple(text for item in items for text in _texts_of_item(item, names))


def _texts_of_item(item: Any, names: tuple[str, ...]) -> Iterator[str]:
    if isinstance(item, dict):
        known = lowered(item)
        values = [known[name] for name in names if name in known] or list(known.values())
        values = [part for one in values for part in (one if isinstance(one, list) else [one])]
    else:
        values = [item]
    yield from (text for text in map(text_of, values) if text is not None)


def walk(value: Any) -> Iterator[tuple[str | None, Any]]:
    """Return every (property name, value) of a JSON value in order, itself first; as deep as it goes."""
    stack: list[tuple[str | None, Any]] = [(None, value)]
    while stack:
        name, item = stack.pop()
        yield name, item
        if isinstance(item, dict):
            stack.extend(reversed(item.items()))
        elif isinstance(item, list):
            stack.extend((None, part) for part in reversed(item))


def _sentence(messages: tuple[str, ...]) -> str:
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return f"{_concise(messages[0])}{more}" if messages else ""


def _concise(text: str) -> str:
    # Masked before it is cut: an address at the cut would be no more to be known as one.
    return text if len(text) <= LONGEST_SENTENCE else f"{mask_emails(text)[:LONGEST_SENTENCE]}…"
