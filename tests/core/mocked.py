"""The one helper that lets aioresponses answer on aiohttp 3.14."""

from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock

import aiohttp
import attrs
from aioresponses import CallbackResult, aioresponses
from yarl import URL


class Response(aiohttp.ClientResponse):
    """An answer of aioresponses 0.7.9, which does not know that aiohttp 3.14 wants a ``stream_writer``."""

    def __init__(self, method: str, url: URL, **options: Any) -> None:
        super().__init__(method, url, **{"stream_writer": Mock(output_size=0), **options})


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
        """Response every request with this method and exactly this URL."""

        def keep(url: URL, **options: Any) -> CallbackResult:
            self.asked.append(Asked(method, str(url), options["headers"], options["data"], options))
            return CallbackResult(status=status, headers=dict(headers), body=body, response_class=Response)

        self.mock.add(URL(url, encoded=True), method, callback=keep, repeat=True, response_class=Response)
