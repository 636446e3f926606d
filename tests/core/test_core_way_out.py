"""Which proxy a request goes through, as the manager's arguments and the environment say."""

import asyncio
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from omeda_async import (
    ClientOptOut,
    ConfigurationError,
    ConnectionFailed,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    OutcomeStatus,
    SessionAuth,
    SessionManager,
)
from omeda_async._environment import proxy_variables
from omeda_async._proxies import VARIABLES, make_network, parse_proxy
from omeda_async._secret import Secret
from tests.core.raw import OK, says, self_signed, serving, trusting
from tests.core.test_core_proxies import NAMED, PASSWORD
from tests.core.tunnels import proxying

RECEIPT = b'{"SubmissionId":"762eae76","Success":"Your submission was successful"}'
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(RECEIPT), RECEIPT)


@pytest.fixture(autouse=True)
async def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "url", "where", "authorization"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", "proxy.example:3128", None),
        ("http://proxy.example/", "http://proxy.example:80", "proxy.example:80", None),
        ("https://proxy.example", "https://proxy.example:443", "proxy.example:443", None),
        (" proxy.example:3128\n", "http://proxy.example:3128", "proxy.example:3128", None),
        ("http://[::1]:3128", "http://[::1]:3128", "[::1]:3128", None),
        ("http://u:p@proxy:1", "http://proxy:1", "proxy:1", "Basic dTpw"),
        ("u@proxy:1", "http://proxy:1", "proxy:1", "Basic dTo="),
        ("http://u%40x:p%3A%2F@proxy:1", "http://proxy:1", "proxy:1", "Basic dUB4OnA6Lw=="),
        ("http://u:%C3%A9@proxy:1", "http://proxy:1", "proxy:1", "Basic dTrDqQ=="),
    ],
)
def test_a_proxy_is_read_and_its_credentials_are_set_apart(
    text: str, url: str, where: str, authorization: str | None
) -> None:
    """Nothing of them is in its URL, or in what is shown of it."""
    proxy = parse_proxy(text, called="proxy")
    assert (proxy.url, proxy.where, proxy.authorization) == (url, where, authorization)
    assert "Basic" not in repr(proxy)


@pytest.mark.parametrize(
    "text",
    [
        *("", "http://", "\x00", "http:// p", "http://pröxy", "http://[::1", "http://p:0", "http://p:99999"),
        *("http://p/path", "http://p?q", "http://p:top-secret", "ftp://u:top-secret@p:1", "http://u:top#secret@p:1"),
        "http://u:top/secret@p:1",
    ],
)
def test_what_is_no_proxy_is_refused_and_not_shown(text: str) -> None:
    """It may hold a password that is not percent-encoded."""
    with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY must be a URL such as 'http://proxy:3128'; ") as caught:
        parse_proxy(text, called="HTTPS_PROXY")
    assert "secret" not in str(caught.value)


def test_a_proxy_for_socks_is_refused_with_the_way_that_works() -> None:
    """A connector of another package can."""
    with pytest.raises(ConfigurationError, match="aiohttp-socks") as caught:
        parse_proxy("socks5://u:top-secret@p:1080", called="ALL_PROXY")
    assert "secret" not in str(caught.value)


def _way(environment: Mapping[str, str], url: str = "https://ows.omeda.example/path") -> str | None:
    proxy = make_network(None, proxy_variables(environment), None).proxy_for(url)
    return None if proxy is None else proxy.url


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:2"}, "http://b:2"),
        ({"HTTPS_PROXY": "http://a:1", "ALL_PROXY": "http://b:2"}, "http://a:1"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": ""}, "http://a:1"),
        ({"ALL_PROXY": "a:1"}, "http://a:1"),
        ({"all_proxy": "a:1", "NO_PROXY": ""}, "http://a:1"),
        ({"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2"}, None),
        ({"NO_PROXY": "*"}, None),
        ({}, None),
    ],
)
def test_the_environment_names_a_proxy_for_https(environment: dict[str, str], url: str | None) -> None:
    """As curl reads it: in small letters first, ``ALL_PROXY`` last; what is for plain http has no say."""
    assert _way(environment) == url


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "127.9.9.9"])
def test_this_machine_is_reached_past_the_environments_proxies(host: str) -> None:
    """The sandbox is reached wherever somebody works; a proxy that is asked for by name has its say."""
    assert _way({"HTTPS_PROXY": "http://a:1"}, f"https://{host}:8443") is None
    assert make_network("http://a:1", {}, None).proxy_for(f"https://{host}:8443") is not None
    assert make_network("http://a:1", {}, None).proxy_for(f"http://{host}:8080") is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "past"),
    [
        ("*", "ows.omeda.com", True),
        ("ows.omeda.com", "ows.omeda.com", True),
        ("OMEDA.com", "ows.omeda.com", True),
        (".omeda.com", "ows.omeda.com", True),
        ("*.omeda.com", "ows.omeda.com", True),
        ("meda.com", "ows.omeda.com", False),
        ("omeda.com.evil.example", "ows.omeda.com", False),
        ("a.example, omeda.com", "ows.omeda.com", True),
        ("a.example omeda.com", "ows.omeda.com", True),
        (",, ,", "ows.omeda.com", False),
        (".", "ows.omeda.com", False),
        ("omeda.com:443", "ows.omeda.com", True),
        ("omeda.com:8443", "ows.omeda.com", False),
        ("omeda.com:8443", "ows.omeda.com:8443", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("fd00::/8", "[fd00::1]", True),
        ("[fd00::1]:443", "[fd00::1]", True),
        ("[fd00::1]:8443", "[fd00::1]", False),
        ("fd00::1", "[fd00::1]", True),
        ("1.2.3/x", "10.1.2.3", False),
        # A dot at the end means nothing, and an address has no names above it: as with curl.
        ("omeda.com", "ows.omeda.com.", True),
        ("omeda.com.", "ows.omeda.com", True),
        ("ows.omeda.com.:443", "ows.omeda.com.", True),
        (".omeda.com.", "ows.omeda.com", True),
        ("meda.com.", "ows.omeda.com.", False),
        ("..", "ows.omeda.com", False),
        ("0.0.5", "10.0.0.5", False),
        (".0.0.5", "10.0.0.5", False),
        ("*.0.0.5", "10.0.0.5", False),
        ("5", "10.0.0.5", False),
        ("0.0.5", "x.0.0.5.example", False),
        ("::1", "[fd00::1]", False),
        ("10.0.0.5", "10.0.0.5", True),
        ("10.0.0.5/24", "10.0.0.9", True),
    ],
)
def test_no_proxy_says_who_is_reached_past_it(no_proxy: str, host: str, *, past: bool) -> None:
    """Names with all below them, networks, ports, a star."""
    assert (_way({"HTTPS_PROXY": "http://a:1", "no_proxy": no_proxy}, f"https://{host}/") is None) == past


OMEDA = OmedaSettings(app_id="app-id", client="foo", base_url="https://ows.omeda.example")


def test_a_bad_variable_is_told_when_the_manager_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, and only where it would be used."""
    monkeypatch.setenv("HTTPS_PROXY", "ftp://u:top-secret@p")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY must be a URL") as caught:
        SessionManager(omeda=OMEDA)
    assert "top-secret" not in str(caught.value)
    SessionManager(omeda=OMEDA, trust_env=False)
    SessionManager(ocamba=OcambaSettings(token="t", base_url="http://127.0.0.1:1"))
    monkeypatch.setenv("NO_PROXY", "omeda.example")
    SessionManager(omeda=OMEDA)


async def test_arguments_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    """Each by its name; a proxy's URL is not shown."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"proxy": 3128}, "proxy must be a URL"),
        ({"proxy": "http://u:top-secret@p:x"}, "proxy must be a URL"),
        ({"trust_env": "yes"}, "trust_env must be True or False"),
        ({"ssl": str(tmp_path)}, r"ssl must be an ssl\.SSLContext, not str"),
    ]
    for options, words in wrong:
        with pytest.raises(ConfigurationError, match=words) as caught:
            SessionManager(omeda=OMEDA, **options)
        assert "top-secret" not in str(caught.value)
    self_signed(tmp_path)
    async with aiohttp.ClientSession() as session:
        for options in ({"proxy": "http://p:1"}, {"ssl": trusting(tmp_path)}):
            with pytest.raises(ConfigurationError, match="http_session has its own way out"):
                SessionManager(omeda=OMEDA, http_session=session, **options)
        SessionManager(omeda=OMEDA, http_session=session, trust_env=True)


@pytest.mark.parametrize("given", ["argument", "secret", "environment"])
async def test_a_manager_goes_through_its_proxy(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an argument, as a secret, or by the environment; the same from the environment's settings."""
    context = self_signed(tmp_path)
    trusted = trusting(tmp_path)
    trusted.check_hostname = False
    async with serving(says(TAKEN), context) as server, proxying(server.url) as proxy:
        url = proxy.url.replace("http://", NAMED)
        monkeypatch.setenv("OMEDA_APP_ID", "app-id")
        monkeypatch.setenv("OMEDA_CLIENT", "foo")
        monkeypatch.setenv("OMEDA_BASE_URL", "https://ows.omeda.example")
        if given == "environment":
            monkeypatch.setenv("HTTPS_PROXY", url)
        proxies: dict[str, str | Secret] = {"argument": url, "secret": Secret(url)}
        async with SessionManager.from_env(proxy=proxies.get(given), ssl=trusted) as manager:
            assert PASSWORD not in repr(vars(manager))
            report = await manager.omeda.opt_outs.submit_many([{"email_address": "a@omeda.com"}])
    assert report.counts == {OutcomeStatus.DONE: 1}
    assert proxy.asked == ["CONNECT ows.omeda.example:443 HTTP/1.1"]
    assert b"Proxy-Authorization: Basic" in proxy.heads[0]
    assert b"app-id" not in proxy.heads[0]


@pytest.mark.parametrize(
    ("no_proxy", "trust_env", "asked"),
    [("", True, 1), ("other.example", True, 1), ("omeda.example", True, 0), ("*", True, 0), ("", False, 0)],
)
async def test_whoever_no_proxy_names_is_reached_past_the_proxy(
    no_proxy: str, asked: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trust_env: bool
) -> None:
    """Over real sockets: either way the request arrives, and the proxy has heard of it or not."""
    context, trusted, loop = self_signed(tmp_path), trusting(tmp_path), asyncio.get_running_loop()
    trusted.check_hostname = False
    asks = loop.getaddrinfo

    async def here(_host: str, *args: Any, **options: Any) -> Any:
        return await asks("127.0.0.1", *args, **options)

    monkeypatch.setattr(loop, "getaddrinfo", here)
    async with serving(says(TAKEN), context) as server, proxying(server.url) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        url = server.url.replace("127.0.0.1", "ows.omeda.example")
        settings = OmedaSettings(app_id="app-id", client="foo", base_url=url)
        async with SessionManager(omeda=settings, trust_env=trust_env, ssl=trusted) as manager:
            await manager.omeda.opt_outs.submit(ClientOptOut("a@omeda.com"))
    assert (len(server.requests), len(proxy.asked)) == (1, asked)


@pytest.mark.parametrize("closes", [False, True])
async def test_a_login_goes_the_same_way_as_what_it_is_for(tmp_path: Path, *, closes: bool) -> None:
    """It is the caller's own code, on the session that it is given."""
    context = self_signed(tmp_path)

    async def prepare(session: aiohttp.ClientSession, url: str) -> dict[str, str]:
        async with session.post(f"{url}/login", data=b"password") as response:
            assert response.status == 200
        return {"Cookie": "JSESSIONID=abc"}

    async with serving(says(OK, close=closes), context) as server, proxying(server.url) as proxy:
        settings = JourneyManagerSettings(base_url=f"{server.url}/workspaces", auth=SessionAuth(prepare))
        url = proxy.url.replace("http://", NAMED)
        async with SessionManager(journey_manager=settings, proxy=url, ssl=trusting(tmp_path)) as manager:
            await manager.journey_manager.transactions.cancel("15d0")
    heads = [head.split(b" HTTP")[0] for head in server.requests]
    assert heads[0] == b"POST /workspaces/login"
    assert len(heads) == 2
    assert len(proxy.heads) == server.connections
    assert all(b"Proxy-Authorization: Basic" in head for head in proxy.heads)


@pytest.mark.parametrize("status", [407, 403])
async def test_a_proxy_that_lets_nobody_through_stops_a_run(status: int, tmp_path: Path) -> None:
    """It would meet every record alike: nothing was sent, and nobody's account is locked by trying again."""
    self_signed(tmp_path)
    answer = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status
    async with proxying("http://127.0.0.1:1", answer=answer, closes=True) as proxy:
        settings = OcambaSettings(token="t", base_url="https://api.ocamba.example")
        async with SessionManager(ocamba=settings, proxy=proxy.url) as manager:
            run = manager.ocamba.campaigns.cancel_many(map(str, range(100)), concurrency=1)
            report = await run
            with pytest.raises(ConnectionFailed) as caught:
                await manager.ocamba.campaigns.cancel("1")
    assert report.counts.keys() <= {OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT}
    assert isinstance(run.stopped_by, ConnectionFailed)
    assert len(proxy.heads) <= 3
    assert (caught.value.attempts, pickle.loads(pickle.dumps(caught.value)).sent) == (1, False)  # noqa: S301 our own
