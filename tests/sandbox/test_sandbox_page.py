"""The sandbox's page as files: what a browser is told of them, and who gets them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from omeda_async.sandbox import Sandbox, _server
from omeda_async.sandbox._callers import is_local
from omeda_async.sandbox._hiding import shown
from tests.sandbox.watching import watching

FILES = ["/", "/_sandbox/page.css", "/_sandbox/page.js"]


@pytest.mark.parametrize("path", FILES)
async def test_the_page_needs_nothing_but_itself(api: Any, path: str) -> None:
    """No script or style but its own, in no frame of another page, kept by nobody, and no request of any provider."""
    reply = await api.get(path)
    assert reply.status == 200
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"
    text = reply.body.decode()
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "innerHTML" not in text
    assert api.sandbox.requests == []


async def test_its_head_can_be_asked_for(api: Any) -> None:
    """Without its body."""
    reply = await api.call("HEAD", "/")
    assert (reply.status, reply.body) == (200, b"")
    assert "Content-Security-Policy" in reply.headers


@pytest.mark.parametrize("path", [*FILES, "/_sandbox/events"])
async def test_the_page_is_only_read(api: Any, path: str) -> None:
    """Another method is refused."""
    reply = await api.post(path)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("path", FILES)
async def test_a_link_on_another_site_may_lead_to_the_page(api: Any, path: str) -> None:
    """Reading it does nothing; other sites see nothing of it."""
    reply = await api.get(path, headers={"Sec-Fetch-Site": "cross-site"})
    assert reply.status == 200
    assert "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}], ids=str)
async def test_a_page_of_another_site_gets_no_events(headers: dict[str, str]) -> None:
    """Nor under a name that was made to lead here; it takes no reader's place."""
    async with Sandbox() as sandbox, watching(sandbox, 2**20, **headers) as stream:
        assert stream.status == 403
        assert len(sandbox._server._watch) == 0


@pytest.mark.parametrize(
    "path", ["/v1/hood/campaigns/1/cancel", "/webservices/rest/brand/FOO/x/*", "/workspaces/login"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}], ids=str)
async def test_a_page_of_another_site_is_no_client_of_a_provider(
    api: Any, path: str, method: str, headers: dict[str, str]
) -> None:
    """What it sends is not counted, fills no window and meets no fault."""
    assert (await api.call(method, path, headers=headers)).status == 403
    assert api.sandbox.requests == []
    assert [window.arrived for window in api.sandbox.limits.windows] == [0, 0]


@pytest.mark.parametrize("path", [*FILES, "/_sandbox/events"])
async def test_the_page_is_for_this_machine_only(api: Any, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the sandbox listens for others; what programs use is for them."""
    monkeypatch.setattr(_server, "_peer", lambda _request: ("10.0.0.7", 50_000))
    assert (await api.get(path)).status == 403
    assert (await api.get("/_sandbox/state")).status == 200


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        (("127.0.0.1", 1), True),
        (("127.9.9.9", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("10.0.0.7", 1), False),
        (("::ffff:10.0.0.7", 1, 0, 0), False),
        (None, False),
        ("", False),
    ],
)
def test_this_machine_is_what_loops_back(peer: object, local: bool) -> None:
    """Of both kinds of addresses, and of the one written as the other."""
    assert is_local(peer) is local
    assert _server._peer(SimpleNamespace(transport=None)) is None  # type: ignore[arg-type]  # a request that is over


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("jane.doe@example.com", "j***@example.com"),
        ("to jane@example.com and bob@example.com", "to j***@example.com and b***@example.com"),
        ("x@example.com", "***@example.com"),
        ("<jane@example.com>", "***@example.com>"),
        ("a@b@example.com", "a***@example.com"),
        ("jane%40example.com", "j***%40example.com"),
        ("jane%2540example.com", "j***%2540example.com"),
        ("jane&#64;example.com", "j***&#64;example.com"),
        ("jane\uff20example.com", "j***\uff20example.com"),
        ("FOO0200300", "FOO0200300"),
        ("/v1/hood/campaigns/***/cancel", "/v1/hood/campaigns/***/cancel"),
        ("key is sandbox-token!", "key is ***!"),
        ("an en in Denmark", "an en in Denmark"),
        ("a\x1b[31m\u202eb", "a\ufffd[31m\ufffdb"),
        ("y" * 1000, "y" * 159 + "…"),
    ],
)
def test_a_text_is_shown_without_what_nobody_may_see(text: str, seen: str) -> None:
    """Addresses however they are written, credentials, what turns or hides text, and what has no end."""
    assert shown(text, ["sandbox-token", "en"]) == seen


@pytest.mark.parametrize("path", ["/_sandbox/state", "/_sandbox/opt-outs", "/_sandbox/none", "/_sandbox/fault"])
async def test_other_sites_pages_get_nothing_of_what_the_sandbox_tells(api: Any, path: str) -> None:
    """Not as a script or a picture of theirs either, which a browser fetches without asking."""
    reply = await api.get(path)
    assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"


async def test_a_number_that_json_has_not_leaves_the_list_of_records_readable(api: Any) -> None:
    """As text, whoever put it there."""
    api.sandbox.ocamba.seed_campaign("1", name=float("inf"))
    text = (await api.get("/_sandbox/records?kind=campaigns")).body.decode()
    assert json.loads(text, parse_constant=pytest.fail)[0]["name"] == "inf"
