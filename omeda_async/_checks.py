"""Checks of settings: each says which one is wrong, and never shows a value that may be a secret."""

import ipaddress
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

from omeda_async._secret import revealed
from omeda_async.errors import ConfigurationError

OUR_HEADERS = frozenset(
    {"authorization", "x-omeda-appid", "x-omeda-inputid", "accept", "content-type", "content-encoding"}
    | {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "expect", "te", "trailer", "upgrade"}
)
"""Headers that sign a request, say what is in it, or frame it: nobody else sets them."""
_OURS = "this library sets it"
_WHOSE = dict.fromkeys(("authorization", "cookie"), "requests are signed by what the settings hold") | {
    "x-omeda-appid": "it is OmedaSettings.app_id",
    "x-omeda-inputid": "it is OmedaSettings.input_id",
}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def refuse_pickle(self: object, _protocol: Any = None) -> NoReturn:
    """Refuse to be pickled or copied by pickle's protocol.

    Raises:
        TypeError: Always.
    """
    raise TypeError(f"{type(self).__name__} holds secrets and is not pickled; make it anew where it is needed")


def check_text(owner: object, field: str, value: object) -> None:
    """Check a text that goes into a header, a path or a body.

    Raises:
        ConfigurationError: It is no string, is empty, or holds control characters.
    """
    _check_printable(f"{type(owner).__name__}.{field}", value)


def _check_printable(name: str, value: object) -> None:
    value = revealed(value)
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} is missing: it must be a non-empty string")
    if not value.isprintable():
        raise ConfigurationError(f"{name} holds characters that no header can carry")


def check_token(owner: object, field: str, value: object) -> None:
    """Check a token, or what returns one.

    Raises:
        ConfigurationError: It is neither a usable string nor callable.
    """
    if not callable(value):
        check_text(owner, field, value)


def check_headers(name: str, headers: object, *, cookies: bool = False) -> None:
    """Check headers of the caller's that are sent besides ours.

    Args:
        name: What they are called in an error.
        headers: The headers.
        cookies: Whether a cookie may be among them.

    Raises:
        ConfigurationError: It is no mapping of header names to texts, or holds a header that is ours to set.
    """
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"{name} must be a mapping of header names to strings")
    seen: set[str] = set()
    for header, value in headers.items():
        if not isinstance(header, str) or not _HEADER_NAME.fullmatch(header):
            raise ConfigurationError(f"{name} holds a name that is no header's: {header!r}")
        folded = header.casefold()
        if folded in seen:
            raise ConfigurationError(f"{name} holds {header!r} twice: the case of a header's name does not matter")
        if folded in OUR_HEADERS or folded.startswith("proxy-") or (folded == "cookie" and not cookies):
            raise ConfigurationError(f"{name} must not hold {header!r}: {_WHOSE.get(folded, _OURS)}")
        seen.add(folded)
        _check_printable(f"{name}[{header!r}]", value)


def check_seconds(owner: object, field: str, value: object) -> None:
    """Check a duration among the settings.

    Raises:
        ConfigurationError: It is no finite number above 0.
    """
    check_duration(f"{type(owner).__name__}.{field}", value)


def check_duration(name: str, value: object, *, zero: bool = False) -> None:
    """Check a duration.

    Raises:
        ConfigurationError: It is no finite number above 0, or, where that is allowed, 0.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and (number > 0 or (zero and number == 0))):
        wanted = "0 or more seconds" if zero else "a positive number of seconds"
        raise ConfigurationError(f"{name} must be {wanted}, not {value!r}")


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Check a count.

    Raises:
        ConfigurationError: It is no whole number, or below the least.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{name} must be a whole number from {least}, not {value!r}")


def check_flag(name: str, value: object) -> None:
    """Check a switch.

    Raises:
        ConfigurationError: It is neither True nor False.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {value!r}")


def check_one_of(name: str, value: object, kind: type[Any]) -> None:
    """Check a choice.

    Raises:
        ConfigurationError: It is none of the kind's members.
    """
    if not isinstance(value, kind):
        members = " or ".join(str(member) for member in kind)
        raise ConfigurationError(f"{name} must be {members}, not {value!r}")


def check_base_url(owner: object, url: object) -> None:
    """Check a base URL.

    Raises:
        ConfigurationError: It is no http(s) URL, has parts it should not have, or would send secrets in the clear.
    """
    where = f"{type(owner).__name__}.base_url"
    parts = _split(url) if isinstance(url, str) else None
    if not isinstance(url, str) or parts is None:
        raise ConfigurationError(f"{where} must be a URL such as 'https://host/path'")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{where} must not hold a user name or password; they have settings of their own")
    if "?" in url or "#" in url:
        raise ConfigurationError(f"{where} must not have a query or fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigurationError(f"{where} must use https: plain http is for this machine (127.0.0.1) only")


def _split(url: str) -> SplitResult | None:
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    good = parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
    return parts if good else None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
