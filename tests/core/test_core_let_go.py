"""A request and all that hangs on it goes when it has ended, and does not wait for the collector of cycles."""

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import attrs
import pytest

from omeda_async import NotFound, OmedaAsyncError
from omeda_async.sandbox import Sandbox
from tests.bulk.sandboxed import manager_on
from tests.core.raw import GET, OK, POST, Talk, says, send, serving, transporting

LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
ANSWERS = {
    "a success": says(OK),
    "a success without a body": says(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a long one": says(LONG),
    "a refusal": says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno"),
    "half a head": says(OK[:20], close=True),
    "nothing": says(close=True),
    "a reset": says(reset=True),
}


@contextmanager
def no_collector() -> Iterator[None]:
    """Collect no cycles meanwhile."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def alive(*kinds: type) -> int:
    """How many there are, those of other tests included."""
    return sum(isinstance(one, kinds) for one in gc.get_objects())


@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
@pytest.mark.parametrize("talk", ANSWERS.values(), ids=ANSWERS)
async def test_a_request_is_let_go_with_its_end(talk: Talk, method: str) -> None:
    """Thousands of cycles a second kept the collector busy for a quarter of the time.

    Where the bytes themselves are broken, aiohttp makes a cycle of its own.
    """
    request = GET if method == "GET" else attrs.evolve(POST, method=method)
    async with serving(talk) as server, transporting() as transport:
        with no_collector():
            before = alive(aiohttp.ClientRequest, aiohttp.ClientResponse)
            for _ in range(5):
                with contextlib.suppress(OmedaAsyncError):
                    await send(transport, server.url, request)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(server.requests) == 5
            assert alive(aiohttp.ClientRequest, aiohttp.ClientResponse) == before


async def test_an_error_is_let_go_when_it_has_been_handled() -> None:
    """And with it what the frames had at hand through which it went."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        with no_collector():
            before = alive(NotFound)
            for _ in range(5):
                with pytest.raises(NotFound):
                    await manager.ocamba.campaigns.cancel("none", reason="over")
            assert alive(NotFound) == before
