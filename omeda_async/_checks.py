"""Checks of settings: each says which one is wrong, and never shows a value that may be a secret."""

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeGuard
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
MOST_SECONDS: Final = 1e9
"""Some thirty years. More is a slip, and overflows where times are added."""
MOST: Final = sys.maxsize
"""The largest count: more than that neither a queue nor a store takes."""
_LONGEST_SHOWN: Final = 60
_HALF: Final = re.compile(r"[\ud800-\udfff]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def refuse_pickle(self: object, _protocol: Any = None) -> NoReturn:
    """Refuse to be pickled or copied by pickle's protocol.

    Raises:
        TypeError: Always.
    """
    raise TypeError(f"{type(self).__name__} holds secrets and is not pickled; make it anew where it is needed")


def check_text(name: str, value: object) -> None:
    """Check a text that goes into a header, a path or a body.

    Raises:
        ConfigurationError: It is no string, is empty, or holds control characters.
    """
    value = revealed(value)
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} is missing: it must be a non-empty string")
    if not value.isprintable():
        raise ConfigurationError(f"{name} holds characters that no header can carry")


def check_kept(name: str, value: object, *, nul: bool = True) -> None:
    """Check a free text that is kept somewhere.

    Args:
        name: What it is called in an error.
        value: The text; what is none is not looked at.
        nul: Whether it may hold a NUL.

    Raises:
        ConfigurationError: It holds a character that cannot be kept.
    """
    if not isinstance(value, str) or (nul and value.isascii()):
        return
    if (half := _HALF.search(value)) is not None:
        what, place = f"U+{ord(half[0]):04X}, half a surrogate pair,", half.start() + 1
    elif not nul and "\0" in value:
        what, place = "a NUL", value.index("\0") + 1
    else:
        return
    raise ConfigurationError(f"{name} holds {what} at character {place}, which cannot be kept: remove it")


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
            raise ConfigurationError(f"{name} holds a name that is no header's: {shown(header)}")
        folded = header.casefold()
        if folded in seen:
            raise ConfigurationError(f"{name} holds {header!r} twice: the case of a header's name does not matter")
        if folded in OUR_HEADERS or folded.startswith("proxy-") or (folded == "cookie" and not cookies):
            raise ConfigurationError(f"{name} must not hold {header!r}: {_WHOSE.get(folded, _OURS)}")
        seen.add(folded)
        check_text(f"{name}[{header!r}]", value)


def check_duration(name: str, value: object, *, zero: bool = False) -> None:
    """Check a duration.

    Raises:
        ConfigurationError: It is no number above 0, or, where that is allowed, 0; or it is longer than 30 years.
    """
    if not is_number(value, MOST_SECONDS, zero=zero):
        wanted = "0 or more seconds" if zero else "a positive number of seconds"
        most = f", at most {MOST_SECONDS:g}" if isinstance(value, int | float) and value > MOST_SECONDS else ""
        raise ConfigurationError(f"{name} must be {wanted}{most}, not {shown(value)}")


def check_between(name: str, value: object, least: float, most: float) -> None:
    """Check a duration that has bounds of its own.

    Raises:
        ConfigurationError: It is no number, or not between them.
    """
    if not is_number(value, most) or value < least:
        raise ConfigurationError(f"{name} must be from {least:g} to {most:,g} seconds, not {shown(value)}")


def is_number(value: object, most: float, *, zero: bool = False) -> TypeGuard[float]:
    """Whether a value is a number above 0, or 0 where that is allowed, up to a bound; neither True nor NaN is."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value <= most if zero else 0 < value <= most


def check_whole(name: str, value: object, least: int = 1, most: int = MOST) -> None:
    """Check a count.

    Raises:
        ConfigurationError: It is no whole number, below the least, or above the most.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        is_above = isinstance(value, int) and value > most
        bounds = f"from {least} to {most}" if is_above or most < MOST else f"from {least}"
        raise ConfigurationError(f"{name} must be a whole number {bounds}, not {shown(value)}")


def shown(value: object) -> str:
    """Return a value as an error shows it: cut, and by its type alone where it cannot be shown."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 the value is the caller's: its repr may raise anything, and one of a huge int does
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def check_flag(name: str, value: object) -> None:
    """Check a switch.

    Raises:
        ConfigurationError: It is neither True nor False.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {shown(value)}")


def check_one_of(name: str, value: object, kind: type[Any]) -> None:
    """Check a choice.

    Raises:
        ConfigurationError: It is none of the kind's members.
    """
    if not isinstance(value, kind):
        members = " or ".join(str(member) for member in kind)
        raise ConfigurationError(f"{name} must be {members}, not {shown(value)}")


def check_path(name: str, value: object, wanted: str = "the path of a file") -> str:
    """Check a path, and return its text.

    Args:
        name: What it is called in an error, which does not show it: a URL in its place may hold a secret.
        value: The path.
        wanted: What it has to be.

    Raises:
        ConfigurationError: It is none, or no file can have it as its name.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text:
        raise ConfigurationError(f"{name} must be {wanted}")
    try:
        is_name = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise ConfigurationError(f"{name} must be {wanted}: it holds a character that no file's name can have")
    return text


def check_base_url(name: str, url: object) -> None:
    """Check a base URL.

    Raises:
        ConfigurationError: It is no http(s) URL, has parts it should not have, or would send secrets in the clear.
    """
    parts = _split(url) if isinstance(url, str) else None
    if not isinstance(url, str) or parts is None:
        raise ConfigurationError(f"{name} must be a URL such as 'https://host/path'")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{name} must not hold a user name or password; they have settings of their own")
    if "?" in url or "#" in url:
        raise ConfigurationError(f"{name} must not have a query or fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigurationError(f"{name} must use https: plain http is for this machine (127.0.0.1) only")


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
