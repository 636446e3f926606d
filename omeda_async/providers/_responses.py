"""What parsing a response has in common for all providers: its JSON, its texts, and the error it stands for."""

import functools
import re
from collections.abc import Container, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from omeda_async._masking import mask_emails
from omeda_async._operation import GAVE_UP, PASSING, Response, Verdict, finds_nothing
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

MOST_PARTS: Final = 100_000
"""Values of a JSON body that are read where a few are expected; lists and objects count for several."""
MOST_ON_PAGES: Final = 1_000_000
"""The same where many rows are expected."""
_MASKED: Final = 2 * LONGEST_SENTENCE
_LONGEST_MESSAGE: Final = 1_000_000
"""Characters that are kept of each of the provider's messages."""

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
_NO: Final = re.compile(
    r"^\s*(?:n|f|0+)\s*$|n't\b"
    r"|\b(?:no|not|never|none|nothing|null|false|un(?:success|able|known|authori|process|expect)\w*|fail\w*|err\w*"
    r"|exception|in(?:valid|complet|correct)\w*|fault\w*|den(?:y|ied|ial)|reject\w*|refus\w*|declin\w*|abort\w*"
    r"|forbidden|cannot|partial\w*)\b",
    re.IGNORECASE,
)
_ELSEWHERE: Final = " (if that comes for every record: check base_url and its path)"
_START: Final = 2000
"""Bytes of a body that show what it is."""
_PAGE: Final = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|meta|script|style|form)[\s>/]", re.IGNORECASE)
_START_OF_URL: Final = 2000
_LONGEST_HOST: Final = 253
_LOG_IN: Final = re.compile(
    r"(?:^|[^a-z])(?:log-?[io]n|log-?on|sign-?[io]n|sso|saml2?|o?auth2?|authori[sz]e|authenticate|idp|adfs|cas|keycloak)"
    r"(?:$|[^a-z])"
)


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
    text = _concise(message or "") or _first_of(messages)
    error = (kind or _class_of(status))(
        f"{text} ({_phrase(response)})" if text and response.flaw else text or _phrase(response),
        sent=_may_have_been_carried_out(response) if sent is None else sent,
        status=status,
        messages=tuple(one[:_LONGEST_MESSAGE] for one in messages),
        retry_after=read_retry_after(response.headers),
        body=response.body,
        **details,
    )
    if isinstance(error, MethodNotAllowed) or finds_nothing(error):
        error.message += _ELSEWHERE
        error.args = (error.message,)
    return error


def unreadable(response: Response, reason: str) -> UnreadableAnswer:
    """Return the error for a response that proves neither success nor failure; of what is in its place it says so."""
    if is_redirect(response):
        reason = where_to(response)
    elif is_page(response):
        reason = "a page came instead of the response: check base_url, and what stands before it"
    message = f"{_phrase(response)}: {reason}"
    return UnreadableAnswer(message, sent=True, status=response.status, body=response.body)


def means_no(value: Any) -> bool:
    """Whether a value says that something was not successful."""
    if isinstance(value, str):
        return _denies(value[:LONGEST_SENTENCE])
    return value is False or (type(value) is int and (value == 0 or value >= 300))


@functools.lru_cache(maxsize=256)
def _denies(text: str) -> bool:
    return _NO.search(text) is not None


def load_json(body: bytes, *, most: int = MOST_PARTS) -> Any:
    """Return the JSON value of a body, with or without a byte order mark; ``NO_JSON`` if it is not JSON.

    Args:
        body: The body.
        most: How many values it may hold: with more it counts as no JSON, as reading it would hold everything up.
    """
    if len(body) > most and body.count(b",") + 8 * (body.count(b"[") + body.count(b"{")) > most:
        return NO_JSON
    try:
        return orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return NO_JSON


def is_page(response: Response) -> bool:
    """Whether a body is HTML, by its content type or what it begins with. XML that is no page may be an answer."""
    start = response.body[:_START].removeprefix(b"\xef\xbb\xbf").lstrip()
    if response.flaw and not start:
        return "html" in response.headers.get("Content-Type", "").casefold()
    if not start.startswith(b"<"):
        return bool(start) and "html" in response.headers.get("Content-Type", "").casefold()
    return "html" in response.headers.get("Content-Type", "").casefold() or _PAGE.search(start) is not None


def is_redirect(response: Response) -> bool:
    """Whether a response sends us elsewhere, or says that there is something else to choose."""
    return response.status in {300, 301, 302, 303, 307, 308}


def where_to(response: Response) -> str:
    """Say where a redirect points to, by its host alone, and what that means most likely."""
    location = response.headers.get("Location", "").strip()[:_START_OF_URL]
    if not location:
        return "it is a redirect that does not say where to: check base_url"
    try:
        target, asked = urlsplit(location), urlsplit(response.asked)
        host = target.hostname or asked.hostname or ""
    except ValueError:
        return "it is a redirect to something that is no URL: check base_url"
    elsewhere = host != asked.hostname
    shown = _shown(host) if elsewhere else "the same host"
    if _LOG_IN.search(f"{host if elsewhere else ''}{target.path}".casefold()):
        return (
            f"it redirects to a log-in page ({shown}): a gateway wants somebody to log in, or the credentials are not "
            "what it takes; ask who runs it how a program gets past it, and check base_url"
        )
    if elsewhere:
        moved = "if the provider has moved there, set base_url to it; else a proxy is in the way"
        return f"it redirects to {shown}: {moved}"
    if target.scheme == "https" and asked.scheme == "http":
        return "it redirects to the same host with TLS: begin base_url with https://"
    return "it redirects to another path of the same host: check base_url, and its path"


def _shown(host: str) -> str:
    return host[:_LONGEST_HOST] if host.isprintable() and "@" not in host else "another host"


def judge(status: str, *, done: Container[str], too_late: Container[str], under_way: str) -> Verdict:
    """Return what a status of a provider says of a cancel; the set of them is open.

    Args:
        status: As the provider writes it.
        done: The statuses of what is cancelled, in lower case.
        too_late: Those of what cannot be any more.
        under_way: How all begin that say neither that it is cancelled nor that it is not.
    """
    folded = status.strip().casefold()
    if folded in done:
        return Verdict.DONE
    if folded in too_late:
        return Verdict.TOO_LATE
    return Verdict.UNDECIDED if folded.startswith(under_way) else Verdict.NOT_DONE


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
    markup = response.body[:_START].lstrip().startswith(b"<") or is_page(response)
    return status not in _TELLING and markup and load_json(response.body) is NO_JSON


def _class_of(status: int) -> type[ApiError]:
    # RFC 9110, section 15: a status past 599 counts as a 5xx.
    return ServerError if status >= 500 else _BY_STATUS.get(status, ApiError)


def _phrase(response: Response) -> str:
    flaw = f", and its body is {response.flaw}" if response.flaw else ""
    try:
        return f"answered {response.status} {HTTPStatus(response.status).phrase}{flaw}"
    except ValueError:
        return f"answered {response.status}{flaw}"


def _first_of(messages: tuple[str, ...]) -> str:
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return f"{_concise(messages[0])}{more}" if messages else ""


def _concise(text: str) -> str:
    # Masked before it is cut: an address could not be recognised any more once it is cut in two.
    return text if len(text) <= LONGEST_SENTENCE else f"{mask_emails(text[:_MASKED])[:LONGEST_SENTENCE]}…"
