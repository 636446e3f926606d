"""Who may call a sandbox: a browser on the same machine is no way in for other people's pages."""

import asyncio
from typing import Any

import aiohttp
import pytest

from omeda_async.sandbox import Sandbox

PATHS = [
    "/",
    "/_sandbox/page.js",
    "/_sandbox/events",
    "/_sandbox/state",
    "/_sandbox/opt-outs",
    "/v1/hood/campaigns",
    "/workspaces",
    "/webservices/rest/brand/FOO/x/*",
]


async def status(sandbox: Sandbox, method: str, path: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, sandbox.url + path, headers=named) as response,
    ):
        return response.status


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "localhost.evil.example",
        "[::2]",
        "x@y",
    ],
)
async def test_a_request_for_another_host_is_refused(path: str, host: str) -> None:
    """A name can be made to lead here; what is asked for under it is not read, and not counted."""
    async with Sandbox() as sandbox:
        assert await status(sandbox, "GET", path, Host=host) == 403
        assert sandbox.requests == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "localhost.", "127.0.0.1", "127.0.0.2:80", "[::1]:80"])
async def test_the_names_of_this_machine_are_known(host: str) -> None:
    """With any port, as a tunnel or a proxy may lead here."""
    async with Sandbox() as sandbox:
        assert await status(sandbox, "GET", "/_sandbox/state", Host=host) == 200


async def test_further_names_can_be_given() -> None:
    """A container is called by its service's name."""
    async with Sandbox(hosts=("sandbox", "Other.Test")) as sandbox:
        for host in ("sandbox:8080", "other.test"):
            assert await status(sandbox, "GET", "/_sandbox/state", Host=host) == 200
        assert await status(sandbox, "GET", "/_sandbox/state", Host="third") == 403


@pytest.mark.parametrize("route", ["seed", "fault", "faults/clear", "faults/remove", "reset"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
async def test_a_page_of_another_site_drives_nothing(api: Any, route: str, headers: dict[str, str]) -> None:
    """A browser tells where a page comes from, and sends plain posts for any of them."""
    api.sandbox.ocamba.seed_campaign("1")
    assert await status(api.sandbox, "POST", f"/_sandbox/{route}", **headers) == 403
    assert list(api.sandbox.ocamba.campaigns) == ["1"]
    assert api.sandbox.faults.armed == ()


async def test_a_page_of_its_own_and_programs_may(api: Any) -> None:
    """Programs say nothing of a site; a page that it would serve has its own origin."""
    for headers in ({}, {"Origin": api.sandbox.url, "Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"}):
        assert await status(api.sandbox, "POST", "/_sandbox/reset", **headers) == 200


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}], ids=str)
async def test_who_may_not_call_is_told_so_before_a_body_is_read(headers: dict[str, str]) -> None:
    """A page of another site cannot fill the sandbox's memory with a body that never ends."""
    async with Sandbox() as sandbox:
        host, port = sandbox.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        sent = {"Host": "localhost", "Content-Length": "1000000"} | headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(f"POST /_sandbox/reset HTTP/1.1\r\n{lines}\r\n{{".encode())
        async with asyncio.timeout(5):
            assert await reader.readline() == b"HTTP/1.1 403 Forbidden\r\n"
        writer.close()
