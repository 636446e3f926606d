"""What a session, and a request on it, are made of: addresses, proxies, times, headers, cookies."""

import functools
import math
from collections.abc import Mapping
from typing import Final, TypeAlias

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from omeda_async._checks import OUR_HEADERS, is_loopback
from omeda_async._proxies import Network, Proxy
from omeda_async.errors import ConfigurationError

Way: TypeAlias = tuple[URL | None, Mapping[str, str] | None]
"""A proxy, if any, and the headers that it is to have."""
DIRECT: Final[Way] = (None, None)
_NOT_THE_SESSIONS: Final = OUR_HEADERS - {"accept", "content-type", "connection", "keep-alive"}
"""Headers that sign or frame each request that a session makes; of the others ours count, or they do no harm."""


def check_borrowed(session: object) -> None:
    """Check what a caller lends.

    Raises:
        ConfigurationError: It is no session, or signs or frames requests itself.
    """
    if not isinstance(session, aiohttp.ClientSession):
        raise ConfigurationError(f"http_session must be an aiohttp.ClientSession, not {type(session).__name__}")
    if session.auth is not None or "Authorization" in session.headers:
        raise ConfigurationError(
            "http_session must not sign requests itself: make it without auth= and without an Authorization header"
        )
    if (name := next((name for name in session.headers if name.casefold() in _NOT_THE_SESSIONS), None)) is not None:
        raise ConfigurationError(f"http_session must not send the header {name!r} with each request: make it without")


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


def way_to(proxy: Proxy | None) -> Way:
    """Return a proxy, and what it is told, as aiohttp takes them."""
    if proxy is None:
        return DIRECT
    secret = proxy.authorization
    return URL(proxy.url), None if secret is None else {"Proxy-Authorization": secret.reveal()}


def goes_in_clear(url: URL, proxy: URL) -> bool:
    """Whether a proxy on another machine would read what a request is signed with."""
    return url.scheme != "https" and not is_loopback(proxy.raw_host or "")


def through_proxies(network: Network) -> aiohttp.ClientMiddlewareType:
    """Return the middleware that sends what a log-in asks on a session of ours through the same proxies."""

    async def choose(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        proxy, headers = way_to(network.proxy_for(str(request.url)))
        if proxy is not None and request.proxy is None:
            request.update_proxy(proxy, None, None if headers is None else CIMultiDict(headers))
        return await handler(request)

    return choose


def without_session(own: Mapping[str, str], *, cookies: bool) -> aiohttp.ClientMiddlewareType:
    """Return the outermost middleware of a request that the session does not sign, be it by a line of .netrc.

    Args:
        own: The headers that sign the request itself, their names in any case.
        cookies: Whether it takes cookies from the session and leaves some there; if not, it has its own alone.
    """
    names = ("Authorization",) if cookies else ("Authorization", "Cookie")

    async def keep_out(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        for name in names:
            request.headers.popall(name, None)
            if name in own:
                request.headers[name] = own[name]
        response = await handler(request)
        if not cookies:
            response._raw_cookie_headers = None  # noqa: SLF001 what the session puts into its jar
        return response

    return keep_out
