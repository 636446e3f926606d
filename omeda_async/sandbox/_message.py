"""A request as it arrived and an answer as it leaves, without the server around them."""

import functools
import json
from collections.abc import Mapping
from typing import Any
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
        """Return the body as JSON, or None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def json_object(self) -> dict[str, Any] | None:
        """Return the body where it is a JSON object, or None."""
        return self.json if isinstance(self.json, dict) else None


@attrs.frozen
class Answer:
    """An answer that has not left yet."""

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    content_type: str = JSON
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """Return the same answer with more headers."""
        return attrs.evolve(self, headers={**self.headers, **headers}) if headers else self


def json_answer(status: int, data: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Make an answer with a JSON body."""
    return Answer(status, json.dumps(data, ensure_ascii=False).encode(), JSON, headers or {})


def html_answer(status: int, title: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Make the page that a proxy in front of a provider would show."""
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Answer(status, page.encode(), "text/html", headers or {})
