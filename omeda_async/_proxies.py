"""The way out of a network: which proxy a request goes through, if any, and which certificates are trusted.

Only https goes through a proxy, and only through a tunnel of its own (CONNECT): a proxy sees which host is asked for,
and nothing else. Plain http is for this machine alone, and goes past every proxy.
"""

import base64
import ipaddress
import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from omeda_async._checks import is_loopback
from omeda_async._secret import Secret, revealed
from omeda_async.errors import ConfigurationError

PORTS: Final = {"http": 80, "https": 443}
_NAMES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""The variables that name a proxy for https; the first that is set counts."""
_PAST: Final = ("no_proxy", "NO_PROXY")
VARIABLES: Final = _NAMES + _PAST


@attrs.frozen(kw_only=True)
class Proxy:
    """A proxy, without the name and the password that it may want."""

    url: str
    where: str
    """Its host and port."""
    authorization: Secret | None = attrs.field(default=None, repr=False)
    """The ``Proxy-Authorization`` that it wants."""


@attrs.frozen(kw_only=True, repr=False)
class Network:
    """How requests leave.

    Args:
        proxy: What all https goes through.
        environment: The variables that name proxies, where those are trusted.
        context: Which certificates are trusted, and which one is shown; None for the system's authorities.
    """

    proxy: Proxy | None = None
    environment: Mapping[str, str] = attrs.field(factory=dict)
    context: ssl.SSLContext | None = None

    @property
    def has_proxies(self) -> bool:
        """Whether anything may go through a proxy."""
        return self.proxy is not None or any(map(self.environment.get, _NAMES))

    def proxy_for(self, url: str) -> Proxy | None:
        """Return the proxy that a URL is asked through; None where it is asked directly.

        Raises:
            ConfigurationError: The environment names something that is none; the message names the variable.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
        if parts.scheme != "https":
            return None
        if self.proxy is not None:
            return self.proxy
        name = next((name for name in _NAMES if self.environment.get(name)), None)
        if name is None or is_loopback(host) or self._is_past(host, port):
            return None
        return parse_proxy(self.environment[name], called=name)

    def _is_past(self, host: str, port: int) -> bool:
        given = next((self.environment[name] for name in _PAST if self.environment.get(name)), "")
        return any(_names(entry, host, port) for entry in re.split(r"[,\s]+", given.lower()) if entry)


def make_network(proxy: object, environment: Mapping[str, str], context: object) -> Network:
    """Return the way out that was asked for.

    Raises:
        ConfigurationError: The proxy is no URL of one, or the context no SSLContext that verifies certificates.
    """
    if proxy is not None and not isinstance(proxy, str | Secret):
        raise ConfigurationError(f"proxy must be a URL such as 'http://proxy:3128', not {type(proxy).__name__}")
    if context is not None and not isinstance(context, ssl.SSLContext):
        raise ConfigurationError(f"ssl must be an ssl.SSLContext, not {type(context).__name__}")
    if context is not None and context.verify_mode is not ssl.CERT_REQUIRED:
        raise ConfigurationError(
            "ssl must verify certificates, or the credentials go to whoever answers: make it with "
            "ssl.create_default_context(cafile=…), with the file of your own authority"
        )
    made = None if proxy is None else parse_proxy(revealed(proxy), called="proxy")
    return Network(proxy=made, environment=environment, context=context)


def parse_proxy(text: str, *, called: str) -> Proxy:
    """Read the URL of a proxy, with or without its scheme; of a name and a password in it the URL given back has none.

    Args:
        text: Such as ``http://name:password@proxy.example:3128``; what is special in a password is percent-encoded.
        called: What it is called in an error, which never shows it.

    Raises:
        ConfigurationError: It is none.
    """
    parts = _split(text.strip())
    if parts is not None and parts.scheme.startswith("socks"):
        raise ConfigurationError(
            f"{called} names a SOCKS proxy: only http:// and https:// are known here; give http_session= with a "
            "connector of the package aiohttp-socks, or name the host in NO_PROXY to go past it"
        )
    if parts is None or parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/"):
        raise ConfigurationError(
            f"{called} must be a URL such as 'http://proxy:3128'; in a name or a password before its @, "
            "percent-encode what is no letter and no digit"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = f"{host}:{parts.port or PORTS[parts.scheme]}"
    return Proxy(url=f"{parts.scheme}://{where}", where=where, authorization=_authorization(parts))


def _split(text: str) -> SplitResult | None:
    if not (text.isascii() and text.isprintable()) or " " in text:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        is_whole = parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        return None
    return parts if is_whole else None


def _authorization(parts: SplitResult) -> Secret | None:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Secret("Basic " + base64.b64encode(pair.encode()).decode("ascii"))


def _names(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY names a host: itself, a domain above it, a network it is in, or everything."""
    return entry == "*" or any(_is_of(host, name) for name in _with_port(entry, port))


def _with_port(entry: str, port: int) -> Iterator[str]:
    """Yield the host of an entry that is for this port, or for all of them."""
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and (name.count(":") == 0 or name.endswith("]")):
        if int(number) == port:
            yield name.strip("[]")
    else:
        yield entry.strip("[]")


def _is_of(host: str, name: str) -> bool:
    # As curl does: a dot at the end of a name means nothing, and an address has no names above it.
    if (address := _address(host)) is not None:
        return (network := _network(name)) is not None and address in network
    host, domain = host.removesuffix("."), name.removeprefix("*").removeprefix(".").removesuffix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError:
        return None
