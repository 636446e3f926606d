"""A request as it arrived and a response as it leaves, without the server around them."""

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

import attrs

JSON = "application/json"


@attrs.define(kw_only=True)
class Incoming:
    """A request as it arrived: what a fault's predicate is given."""

    method: str
    target: str
    """Path and query, still percent-encoded."""
    headers: Mapping[str, str] = attrs.field(repr=False)
    """Case-insensitive."""
    body: bytes = attrs.field(default=b"", repr=False)
    provider: str = ""
    """``omeda``, ``ocamba`` or ``journey_manager``."""
    operation: str = "unknown"
    """As the client calls it: ``campaigns.cancel``."""
    arrived_at: float = 0.0
    """On the loop's clock, in seconds."""

    @property
    def path(self) -> str:
        """Return the path, still percent-encoded, without the query."""
        return self.target.partition("?")[0]

    @functools.cached_property
    def segments(self) -> tuple[str, ...]:
        """Return the parts of the path, decoded."""
        return tuple(unquote(part) for part in self.path.split("/")[1:])

    @functools.cached_property
    def query(self) -> dict[str, str]:
        """Return the query's parameters; of a repeated one the last."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @functools.cached_property
    def json(self) -> Any:
        """Return the parsed body, or None where it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def json_object(self) -> dict[str, Any] | None:
        """Return the parsed body where it is a JSON object, or None."""
        return self.json if isinstance(self.json, dict) else None


@attrs.frozen
class Response:
    """A response that has not left yet."""

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    content_type: str = JSON
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def with_headers(self, headers: Mapping[str, str]) -> "Response":
        """Return the same response with more headers."""
        return attrs.evolve(self, headers={**self.headers, **headers}) if headers else self


def json_response(status: int, data: object, headers: Mapping[str, str] | None = None) -> Response:
    """Make a response with a JSON body."""
    return Response(status, json.dumps(data, ensure_ascii=False).encode(), JSON, headers or {})


def html_response(status: int, title: str, headers: Mapping[str, str] | None = None) -> Response:
    """Make the page that a proxy in front of a provider would show."""
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Response(status, page.encode(), "text/html", headers or {})


class Api(Protocol):
    """How a provider is reached: its routes, credentials and formats on top of its state."""

    @property
    def name(self) -> str:
        """Return the provider's name: ``ocamba``."""

    def operation(self, incoming: Incoming) -> str:
        """Return the operation that a request asks for, or ``unknown``."""

    def ids(self, incoming: Incoming) -> Iterable[str]:
        """Return the ids, names and addresses that a request is about."""

    def respond(self, incoming: Incoming) -> Response:
        """Do what a request asks for."""

    def failure(self, status: int) -> Response:
        """Return an error in the provider's own format."""

    def session_lost(self) -> Response:
        """End the session, where there is one, and return the response to a request without one."""
