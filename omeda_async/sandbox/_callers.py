"""Who may call a sandbox: programs that know its name, and no page of another site in somebody's browser."""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit


def is_foreign(host: str | None, names: Collection[str], address: str | None) -> bool:
    """Whether a request was meant for another server: a name that leads here is not yet ours.

    Args:
        host: The request's ``Host``.
        names: The names of this server.
        address: The address it was reached at.
    """
    name = _name_in(host) if host else "localhost"
    return not (name in {"localhost", address, *map(str.lower, names)} or _is_loopback(name))


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether a page of another origin sends a request, as browsers tell."""
    site, origin = headers.get("Sec-Fetch-Site", "none"), headers.get("Origin")
    ours = origin is None or origin.lower() == f"http://{headers.get('Host', '')}".lower()
    return not ours or site not in {"none", "same-origin"}


def is_local(peer: object) -> bool:
    """Whether a request comes from this machine.

    Args:
        peer: The other end of its connection, as a transport tells it.
    """
    return isinstance(peer, tuple) and _is_loopback(str(peer[0]).removeprefix("::ffff:"))


def _name_in(host: str) -> str:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
    return name.rstrip(".")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
