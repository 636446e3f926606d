"""The sandbox's page: its three files, and what a browser is told of them."""

import functools
from importlib import resources

from omeda_async.sandbox._message import Incoming, Response, json_response

EVENTS = "/_sandbox/events"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/_sandbox/page.css": ("page.css", "text/css; charset=utf-8"),
    "/_sandbox/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
"""By path: the file's name, and its type."""
PATHS = frozenset({EVENTS, *FILES})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
SAFE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HEADERS = {
    **SAFE,
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
STREAM_HEADERS = {**SAFE, "Content-Type": "text/event-stream"}
ONLY_GET = json_response(405, {"error": "use GET"}, {"Allow": "GET"})


def respond(incoming: Incoming) -> Response:
    """Return a file of the page."""
    if incoming.method not in ("GET", "HEAD"):
        return ONLY_GET
    name, content_type = FILES[incoming.path]
    return Response(200, _read(name), content_type, _HEADERS)


def is_harmless(incoming: Incoming) -> bool:
    """Whether a page of another site may lead a browser there: what only reads, and holds nothing open."""
    reads = incoming.path == "/" or (incoming.segments[0] == "_sandbox" and incoming.path != EVENTS)
    return reads and incoming.method in ("GET", "HEAD")


@functools.cache
def _read(name: str) -> bytes:
    return resources.files("omeda_async.sandbox").joinpath("page", name).read_bytes()
