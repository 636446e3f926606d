"""Requests as they were handed to aiohttp, answered by aioresponses."""

from collections.abc import Mapping
from typing import Any

import attrs
from aioresponses import CallbackResult, aioresponses
from yarl import URL


@attrs.frozen
class Asked:
    """One request, as it was handed to aiohttp."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    options: Mapping[str, Any]


@attrs.define
class Wire:
    """Answers requests, and keeps what was asked."""

    mock: aioresponses
    asked: list[Asked] = attrs.field(factory=list)

    def answer(self, method: str, url: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer every request with this method and exactly this URL."""

        def keep(url: URL, **options: Any) -> CallbackResult:
            self.asked.append(Asked(method, str(url), options["headers"], options["data"], options))
            return CallbackResult(status=status, headers=dict(headers), body=body)

        self.mock.add(URL(url, encoded=True), method, callback=keep, repeat=True)
