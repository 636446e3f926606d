"""What parsing a response has in common for all providers: its JSON, its texts, and the error it stands for."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from omeda_async._masking import mask_emails
from omeda_async._operation import GAVE_UP, PASSING, Response
from omeda_async._retry_after import read_retry_after
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
"""What ``load_json`` returns for a body that is not JSON."""
LONGEST_SENTENCE: Final = 1000
"""Characters of a provider's message that are shown, and searched for its meaning; hostile ones are longer."""

_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: BadRequest,
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    429: RateLimited,
}
_TELLING: Final = PASSING | {401, 403, 405, 429}
"""The 4xx that mean the same whoever says so, a gateway or the provider."""
_MARKUP: Final = re.compile(rb"\s*<[!?a-zA-Z]")


def api_error(
    response: Response,
    kind: type[ApiError] | None = None,
    *,
    sent: bool | None = None,
    message: str | None = None,
    messages: tuple[str, ...] = (),
    **details: Any,
) -> ApiError:
    """Return the error that a response stands for.

    Args:
        response: The response.
        kind: The class of the error; by default the one of the status.
        sent: Whether the request may have been carried out; by default what the status says (a 5xx: yes), and that
            the provider's own words have not come under a 4xx, but a page.
        message: What happened, in one sentence; by default the first of ``messages``, or else the status.
        messages: The provider's own words.
        details: Further attributes of the error.
    """
    status = response.status
    return (kind or _class_of(status))(
        _concise(message or "") or _first_of(messages) or _phrase(status),
        sent=_may_have_been_carried_out(response) if sent is None else sent,
        status=status,
        messages=messages,
        retry_after=read_retry_after(response.headers),
        body=response.body,
        **details,
    )


def unreadable(response: Response, reason: str) -> UnreadableAnswer:
    """Return the error for a response that proves neither success nor failure."""
    message = f"{_phrase(response.status)}: {reason}"
    return UnreadableAnswer(message, sent=True, status=response.status, body=response.body)


def load_json(body: bytes) -> Any:
    """Return the JSON value of a body, with or without a byte order mark; ``NO_JSON`` if it is not JSON."""
    try:
        return orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return NO_JSON


def is_markup(response: Response) -> bool:
    """Whether a body is HTML or XML, by its content type or its first characters."""
    content_type = response.headers.get("Content-Type", "").casefold()
    return bool(response.body.strip()) and ("html" in content_type or _MARKUP.match(response.body) is not None)


def text_of(value: Any) -> str | None:
    """Return an id or a name that comes as a string or an integer; None for anything else, and for an empty one."""
    if isinstance(value, str):
        return value if value.strip() else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def first_text(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of some fields that is a text, as in ``text_of``; None if none is."""
    for name in names:
        text = text_of(fields.get(name))
        if text is not None:
            return text
    return None


def lowered(value: Any) -> dict[str, Any]:
    """Return an object with its keys in lower case; an empty one for anything else."""
    fields = {}
    if isinstance(value, dict):
        for key, item in value.items():
            fields[key.casefold()] = item
    return fields


def texts_in(value: Any, *names: str) -> tuple[str, ...]:
    """Return the texts of a list of strings or objects, of one of them alone, or of an object's values.

    Args:
        value: Such as ``[{"Error": "…"}, "…"]``.
        names: The lower-case keys under which an object has its text; where it has none of them, all its texts count.
    """
    found: list[Any] = []
    for item in value if isinstance(value, list) else [value]:
        found += _values_of(item, names) if isinstance(item, dict) else [item]
    return tuple(text for text in map(text_of, found) if text is not None)


def walk(value: Any) -> list[tuple[str | None, Any]]:
    """Return every (property name, value) of a JSON value in order, itself first; as deep as it goes."""
    found: list[tuple[str | None, Any]] = []
    stack: list[tuple[str | None, Any]] = [(None, value)]
    while stack:
        one = stack.pop()
        found.append(one)
        if isinstance(one[1], dict):
            stack.extend(reversed(one[1].items()))
        elif isinstance(one[1], list):
            stack.extend((None, part) for part in reversed(one[1]))
    return found


def _values_of(item: dict[str, Any], names: Iterable[str]) -> list[Any]:
    known = lowered(item)
    values = [known[name] for name in names if name in known] or known.values()
    return [part for one in values for part in (one if isinstance(one, list) else [one])]


def _may_have_been_carried_out(response: Response) -> bool:
    status = response.status
    if status >= 500 or status in GAVE_UP:
        return True
    return status not in _TELLING and is_markup(response) and load_json(response.body) is NO_JSON


def _class_of(status: int) -> type[ApiError]:
    # RFC 9110, section 15: a status past 599 counts as a 5xx.
    return ServerError if status >= 500 else _BY_STATUS.get(status, ApiError)


def _phrase(status: int) -> str:
    try:
        return f"answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"answered {status}"


def _first_of(messages: tuple[str, ...]) -> str:
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return f"{_concise(messages[0])}{more}" if messages else ""


def _concise(text: str) -> str:
    # Masked before it is cut: an address could not be recognised any more once it is cut in two.
    return text if len(text) <= LONGEST_SENTENCE else f"{mask_emails(text)[:LONGEST_SENTENCE]}…"
