"""Cookies of a borrowed session do not cross providers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from omeda_async import (
    BasicAuth,
    ClientOptOut,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    RetryPolicy,
    SessionAuth,
    SessionManager,
)
from tests.core.raw import Server, says, serving

ONCE = RetryPolicy(attempts=1)


def _cookies(server: Server) -> list[set[bytes]]:
    lines = [[line for line in head.split(b"\r\n") if line.lower().startswith(b"cookie:")] for head in server.requests]
    return [{pair for line in found for pair in line.partition(b": ")[2].split(b"; ")} for found in lines]


def _setting(name: bytes, status: bytes = b"204 No Content") -> Any:
    return says(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nSet-Cookie: " + name + b"=1; Path=/\r\n\r\n")


@asynccontextmanager
async def scene(auth: Any, **options: Any) -> AsyncIterator[tuple[SessionManager, Server, Server, Server]]:
    """Three providers on one address, each with a cookie of its own, and a manager on a borrowed session."""
    jar = aiohttp.CookieJar(unsafe=True)  # addresses without names have cookies, too
    receipt = b'HTTP/1.1 200 OK\r\nSet-Cookie: omeda=1\r\nContent-Length: 16\r\n\r\n{"Success":true}'
    async with (
        serving(says(receipt)) as omeda,
        serving(_setting(b"ocamba")) as ocamba,
        serving(_setting(b"jm", b"200 OK")) as jm,
        aiohttp.ClientSession(cookie_jar=jar, **options) as session,
        SessionManager(
            omeda=OmedaSettings(app_id="app-id", client="c", base_url=omeda.url, retry=ONCE),
            ocamba=OcambaSettings(token="token", base_url=ocamba.url, retry=ONCE),
            journey_manager=JourneyManagerSettings(base_url=jm.url, auth=auth, headers={"X-Ours": "1"}, retry=ONCE),
            http_session=session,
        ) as manager,
    ):
        yield manager, omeda, ocamba, jm


async def _talk(manager: SessionManager) -> None:
    for _ in range(2):
        await manager.journey_manager.transactions.cancel("k", explain=False)
        await manager.ocamba.campaigns.cancel("7", explain=False)
        await manager.omeda.opt_outs.submit(ClientOptOut("a@example.com"))


async def _log_in(session: aiohttp.ClientSession, url: str) -> dict[str, str]:
    async with session.post(url + "/login"):
        return {}


async def test_cookies_of_a_log_in_go_to_its_provider_only() -> None:
    """Neither do the others' cookies go to it, nor their own back to them."""
    async with scene(SessionAuth(_log_in), cookies={"given": "1"}) as (manager, omeda, ocamba, jm):
        await _talk(manager)
    assert _cookies(jm) == [{b"given=1"}, {b"given=1", b"jm=1"}, {b"given=1", b"jm=1"}]
    assert _cookies(omeda) == _cookies(ocamba) == [set(), set()]


@pytest.mark.parametrize(
    "options", [{"cookies": {"given": "1"}}, {"headers": {"Cookie": "given=1"}}], ids=["jar", "header"]
)
async def test_without_a_session_nobody_gets_cookies(options: dict[str, Any]) -> None:
    """What a password signs needs none."""
    async with scene(BasicAuth("user", "password-1"), **options) as (manager, omeda, ocamba, jm):
        await _talk(manager)
    assert _cookies(jm) == _cookies(omeda) == _cookies(ocamba) == [set(), set()]


async def test_a_cookie_of_the_credentials_is_sent() -> None:
    """It is ours, whatever else the session has."""

    async def prepare(_session: aiohttp.ClientSession, _url: str) -> dict[str, str]:
        return {"Cookie": "JSESSIONID=2"}

    async with scene(SessionAuth(prepare)) as (manager, omeda, ocamba, jm):
        await _talk(manager)
    assert [b"JSESSIONID=2" in one for one in _cookies(jm)] == [True, True]
    assert _cookies(omeda) == _cookies(ocamba) == [set(), set()]


async def test_a_cookie_of_the_settings_is_sent() -> None:
    """Headers of the settings are meant for this provider."""
    async with (
        serving(_setting(b"jm", b"200 OK")) as jm,
        aiohttp.ClientSession(cookies={"given": "1"}, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        SessionManager(
            journey_manager=JourneyManagerSettings(
                base_url=jm.url, auth=BasicAuth("user", "password-1"), headers={"cookie": "mine=1"}, retry=ONCE
            ),
            http_session=session,
        ) as manager,
    ):
        for _ in range(2):
            await manager.journey_manager.transactions.cancel("k", explain=False)
    assert _cookies(jm) == [{b"mine=1"}, {b"mine=1"}]
