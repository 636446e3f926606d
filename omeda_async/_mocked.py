"""What lets aioresponses answer on the aiohttp there is: its release 0.7.9 does not know all that 3.14 wants."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import aiohttp
from aioresponses import aioresponses, core


class MockedResponse(aiohttp.ClientResponse):
    """A response of aioresponses on aiohttp 3.14 and newer, which wants a ``stream_writer``."""

    def __init__(self, method: str, url: Any, **options: Any) -> None:
        super().__init__(method, url, **{"stream_writer": mock.Mock(output_size=0), **options})


@contextmanager
def mocked_responses(**options: Any) -> Iterator[aioresponses]:
    """Answer requests in place of aiohttp's client, as ``aioresponses`` does."""
    with mock.patch.object(core, "ClientResponse", MockedResponse), aioresponses(**options) as mocked:
        yield mocked
