"""What a request ends with that got no answer: aiohttp's errors become ours, in words that say what to do."""

import errno
import re
import ssl
from typing import Final

import aiohttp
from aiohttp.client_exceptions import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
)
from yarl import URL

from omeda_async._body import BodyLost
from omeda_async.errors import (
    AnswerLost,
    ConfigurationError,
    ConnectionCause,
    ConnectionFailed,
    OmedaAsyncError,
    UnreadableAnswer,
)

NEVER_LEFT: Final = (
    ClientConnectorError,
    ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
)
"""What aiohttp raises before a single byte of the request has left."""
LONGEST_LINE: Final = 64 * 1024
"""Bytes that a header, or the status line, of a response may have."""

_BY_A_PROXY: Final = "where a proxy is the only way out, set HTTPS_PROXY, or give proxy='http://host:port' (--proxy)"
_OWN_AUTHORITY: Final = (
    "if it is signed by an authority of your own, or by a proxy that looks into TLS, name the authority's file in "
    "SSL_CERT_FILE, or give ssl=ssl.create_default_context(cafile=...) (--ca-file)"
)
_CHECK_PROXY: Final = "check proxy= (--proxy) or HTTPS_PROXY, or http_session's own"
_CHECK_PROXY_URL: Final = "check the proxy's URL, in proxy= (--proxy), HTTPS_PROXY or http_session, and the DNS"
_SETTINGS: Final = frozenset({403, 405, 407})
"""What a proxy answers whoever asks again as well."""
_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})

# What aiohttp's parser says, in its own first words: what follows them is the response itself, and is never shown.
_REFUSED: Final = tuple(
    (re.compile(words, re.IGNORECASE), reason)
    for words, reason in (
        ("got more than", f"a header of it is longer than {LONGEST_LINE // 1024} KiB (often a cookie of a proxy)"),
        ("too many headers", "it has more headers than are read"),
        ("transfer-encoding", "it gives its length in two ways at once"),
        ("content-length|duplicate", "its Content-Length is there twice, or is no number"),
        ("chunk", "its chunks are broken"),
        ("header", "a header of it is none (a blank before the colon, no colon, a zero byte)"),
        ("data after", "more came than its Content-Length says"),
        ("expected http", "it is no HTTP/1.1, or more came than belongs to it (such as a 204 that has a body)"),
        ("status|version|expected", "its first line is none of HTTP/1.1"),
    )
)
_ALERT: Final = re.compile(r"b['\"]\\x15\\x03[\\\w]")
"""How a record of TLS that holds an alert begins, as the parser quotes it."""
_IN_WORDS: Final = re.compile(
    rb"plain HTTP request was sent to (?:an )?HTTPS port|speaking plain HTTP to an SSL-enabled server port"
    rb"|sent an HTTP request to an HTTPS server|This combination of host and port requires TLS",
    re.IGNORECASE,
)
"""What nginx, Apache, Go and Tomcat answer with a 400."""
_READ: Final = 4096
_BAD_STATUS_LINE: Final = "Bad status line:"
_QUOTED: Final = re.compile(r":| ['\"]")
_REMEDY: Final = "the server, or a proxy in between, has to be mended"


def connection_failed(error: BaseException, host: str, seconds: float, proxy: URL | None = None) -> ConnectionFailed:
    """Return the error of a request that never left.

    Args:
        error: Why.
        host: That of the base URL.
        seconds: How long we have waited for the connection, should that be the reason.
        proxy: What it was to go through; of it only host and port are told.
    """
    if isinstance(error, aiohttp.ClientResponseError):
        return _by_proxy(error, proxy)
    if isinstance(error, TimeoutError):
        return _too_slow(host, seconds, proxy)
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return _failed(f"{host} has another certificate than http_session expects", "certificate", retryable=False)
    if isinstance(error, ClientConnectorError):
        return _unconnected(error, host, proxy)
    if proxy is not None:
        return _failed(f"the proxy {_where(proxy)} ended the connection to {host}", "proxy")
    return _failed(f"{host}: the connection ended before the request was written", "other")


def _too_slow(host: str, seconds: float, proxy: URL | None) -> ConnectionFailed:
    words = f"no connection to {host} within {round(seconds, 3):g} s"
    if proxy is not None:
        return _failed(f"{words} through the proxy {_where(proxy)}: {_CHECK_PROXY}, or it may be overloaded", "timeout")
    return _failed(f"{words}: it may be down, or a firewall in the way; {_BY_A_PROXY}", "timeout")


def _where(proxy: URL | None) -> str:
    return "" if proxy is None else f"{proxy.host_subcomponent}:{proxy.port}"


def _unconnected(error: ClientConnectorError, host: str, proxy: URL | None) -> ConnectionFailed:
    where = f"[{error.host}]:{error.port}" if ":" in error.host else f"{error.host}:{error.port}"
    if isinstance(error, ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or tell(error)
        words = f"the certificate of {where} is not trusted ({reason}): {_OWN_AUTHORITY}"
        return _failed(words, "certificate", retryable=False)
    if isinstance(error, ClientConnectorDNSError):
        is_ours = error.host == host and proxy is None
        words = f"check base_url, and the DNS; {_BY_A_PROXY}" if is_ours else _CHECK_PROXY_URL
        return _failed(f"no address was found for the name {error.host}: {words}", "name")
    if isinstance(error, ClientProxyConnectionError):
        return _failed(f"the proxy {where} cannot be reached ({_reason(error)}): {_CHECK_PROXY}", "proxy")
    if isinstance(error, ssl.SSLError):
        of_proxy = "the proxy's URL, whether it begins with http://, and its port"
        check = of_proxy if where == _where(proxy) else "base_url's port, and whether it begins with http://"
        return _failed(f"no TLS with {where} ({_reason(error)}): check {check}", "tls")
    if proxy is not None:  # which could be reached: what has ended is the tunnel
        reason = _reason(error)
        return _failed(f"the proxy {_where(proxy)} opened a way to {where}, and then ended it ({reason})", "proxy")
    return _no_way(error, where)


def _no_way(error: ClientConnectorError, where: str) -> ConnectionFailed:
    number = error.os_error.errno
    if number == errno.ECONNREFUSED:
        words = f"nobody listens at {where} (connection refused): check base_url and its port; {_BY_A_PROXY}"
        return _failed(words, "refused")
    if number in _UNREACHABLE:
        words = f"there is no way to {where} ({_reason(error)}): check the network; {_BY_A_PROXY}"
        return _failed(words, "unreachable")
    return _failed(f"no connection to {where} ({_reason(error)})", "other")


def _by_proxy(error: aiohttp.ClientResponseError, proxy: URL | None) -> ConnectionFailed:
    """Return the error of a request that a proxy was to open a way for, and did not."""
    where = _where(proxy)
    if not isinstance(error, ClientHttpProxyError):
        return _failed(f"what the proxy {where} answers is no HTTP: check its URL, and its port", "proxy")
    if error.status == 407:
        words = "wants a name and a password, or others (407): put name:password and an @ before the host in its URL"
    else:
        words = f"does not connect to the host (it answered {error.status}): ask who runs it, or go past it (NO_PROXY)"
    return _failed(f"the proxy {where} {words}", "proxy", retryable=error.status not in _SETTINGS)


def _failed(words: str, cause: ConnectionCause, *, retryable: bool = True) -> ConnectionFailed:
    return ConnectionFailed(f"could not connect: {words}", cause=cause, retryable=retryable)


def spoke_first(host: str) -> ConnectionFailed:
    """Return the error of a request that found words on a connection nobody had asked anything on."""
    words = f"{host} spoke before it was asked: check base_url and its port, which may be of something else than HTTP"
    return _failed(words, "other")


def refused_plain(error: BaseException) -> ConnectionFailed | None:
    """Return the error of a request in plain HTTP that was answered with an alert of TLS; None for any other error."""
    alert = isinstance(error, aiohttp.ClientResponseError) and _ALERT.search(error.message)
    return _speaks_tls() if alert else None


def tls_asked_for(body: bytes) -> ConnectionFailed | None:
    """Return the error of a request in plain HTTP that a server of TLS has refused in words; None for other words."""
    return _speaks_tls() if _IN_WORDS.search(body[:_READ]) else None


def _speaks_tls() -> ConnectionFailed:
    return _failed("the server speaks TLS at this port: begin base_url with https://", "tls", retryable=False)


def answer_lost(error: BaseException, *, plain: bool = False) -> AnswerLost:
    """Return the error of a request that may have left, and has no answer.

    Args:
        error: Why.
        plain: Whether it went in plain HTTP on a new connection, which some servers of TLS end without a word.
    """
    if plain and isinstance(error, aiohttp.ServerDisconnectedError):
        hint = "if the port is one of TLS, begin base_url with https://"
        return AnswerLost(f"the answer was lost: the server ended the connection without a word; {hint}", sent=True)
    if isinstance(error, aiohttp.ClientResponseError):
        said = _said(error)
        reason = next((reason for words, reason in _REFUSED if words.search(said)), "it is not HTTP as it should be")
        return AnswerLost(f"the answer cannot be read: {reason}; {_REMEDY}", sent=True)
    return AnswerLost(f"the answer was lost: {tell(error)}", sent=True)


def no_answer(error: BaseException, seconds: float) -> AnswerLost:
    """Return the error of a request that may have left, and has no answer within so many seconds, or at all."""
    if isinstance(error, TimeoutError):
        return AnswerLost(f"no whole answer within {round(seconds, 3):g} s", sent=True, timed_out=True)
    return answer_lost(error)


def body_lost(lost: BodyLost, status: int, seconds: float) -> OmedaAsyncError:
    """Return the error of a success whose body is lost."""
    if lost.is_too_large:
        return UnreadableAnswer(f"the answer is {lost.flaw}", sent=True, status=status, body=lost.body)
    if lost.timed_out:
        return no_answer(TimeoutError(), seconds)
    return AnswerLost(f"the answer was lost: it is a {status}, and its body is {lost.flaw}", sent=True)


def refused_by_session(error: ValueError) -> ConfigurationError:
    """Return the error of a request that the caller's session would not make."""
    return ConfigurationError(f"the HTTP session refuses the request ({tell(error)}): it must not sign requests itself")


def is_of_the_body(error: BaseException) -> bool:
    """Whether aiohttp's parser has refused a response for its body only: what came before it was in order."""
    said = _said(error).casefold() if isinstance(error, aiohttp.ClientResponseError) else ""
    return "chunk" in said and "transfer-encoding" not in said


def _said(error: aiohttp.ClientResponseError) -> str:
    """Return the parser's own words, without what it quotes; those of a bad status line follow in a second line."""
    first, *more = error.message.split("\n")
    return _QUOTED.split(first)[0] + (more[0] if more and first == _BAD_STATUS_LINE else "")


def _reason(error: ClientConnectorError) -> str:
    return str(getattr(error.os_error, "strerror", None) or type(error.os_error).__name__)


def tell(error: BaseException) -> str:
    """Name an error by its type and errno only: aiohttp's texts may show headers and addresses."""
    cause = error.os_error if isinstance(error, ClientConnectorError) else error
    reason = getattr(cause, "strerror", None) or ""
    return f"{type(error).__name__}{f' ({reason})' if reason else ''}"
