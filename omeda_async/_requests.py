"""What a session, and a request on it, are made of: addresses, times, headers, cookies."""

import functools
import math
from collections.abc import Mapping

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from omeda_async.errors import ConfigurationError


def check_borrowed(session: object) -> None:
    """Check what a caller lends.

    Raises:
        ConfigurationError: It is no session, or signs requests itself.
    """
    if not isinstance(session, aiohttp.ClientSession):
        raise ConfigurationError(f"http_session must be an aiohttp.ClientSession, not {type(session).__name__}")
    if session.auth is not None or "Authorization" in session.headers:
        raise ConfigurationError(
            "http_session must not sign requests itself: make it without auth= and without an Authorization header"
        )


@functools.lru_cache(maxsize=64)
def url_of(text: str) -> URL:
    """Return a URL that is percent-encoded already.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        url = URL(text, encoded=True)
        if url.raw_host:
            return url
    except ValueError:
        pass
    raise ConfigurationError(f"{text} is no URL")


@functools.lru_cache(maxsize=64)
def timeouts(total: float, connect: float) -> aiohttp.ClientTimeout:
    """Return the times of one request."""
    # Should both run out at once, only the connecting one says that nothing has left; aiohttp would round both.
    return aiohttp.ClientTimeout(total=total, connect=min(connect, 0.95 * total), ceil_threshold=math.inf)


def merged(*layers: Mapping[str, str]) -> CIMultiDictProxy[str]:
    """Put headers together: the later layer wins, whatever the case of the names.

    Raises:
        ConfigurationError: HTTP cannot carry one; aiohttp would notice only once it has a connection.
    """
    headers: CIMultiDict[str] = CIMultiDict()
    for layer in layers:
        headers.update(layer)
    for name, value in headers.items():
        if not (name.isprintable() and value.isprintable()):
            raise ConfigurationError("a header holds characters that HTTP cannot carry")
    return CIMultiDictProxy(headers)


def without_cookies(own: str | None) -> aiohttp.ClientMiddlewareType:
    """Return the outermost middleware of a request that neither takes cookies from the session nor leaves any there.

    Args:
        own: The ``Cookie`` header of the request itself, if it has one.
    """

    async def keep_out(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers.popall("Cookie", None)
        if own is not None:
            request.headers["Cookie"] = own
        response = await handler(request)
        response._raw_cookie_headers = None  # noqa: SLF001 what the session puts into its jar
        return response

    return keep_out
