"""Journey Manager in the sandbox: cancel, query with its silent defaults, and sessions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from omeda_async.sandbox import Fault

TXN = "/workspaces/secure/api/v1/txn"
LOGIN = "/workspaces/login"
PERSON = {"username": "sandbox", "password": "sandbox-password"}


async def test_a_cancel_abandons_with_reason_and_milestone(api: Any) -> None:
    """Success is a bare 200."""
    api.sandbox.journey_manager.seed_transaction("15d0")
    params = {"submitKey": "15d0", "reason": "in branch", "milestones": "Application Status: Staff Cancelled"}
    reply = await api.post(f"{TXN}/cancel", {"params": params})
    transaction = api.sandbox.journey_manager.transactions["15d0"]
    assert (reply.status, reply.body) == (200, b"")
    assert (transaction.form_status, transaction.cancels) == ("Abandoned", 1)
    assert (transaction.reason, transaction.milestones) == (
        "in branch",
        ["Application Status: Staff Cancelled"],
    )


@pytest.mark.parametrize(
    ("params", "key", "text"),
    [
        ({}, "submitKeyNotSpecified", "submitKey not specified"),
        ({"submitKey": "no"}, "txnNotFound", "The transaction specified by the submitKey was not found."),
        ({"submitKey": "hidden"}, "txnNotFound", "The transaction specified by the submitKey was not found."),
        (
            {"submitKey": "completed"},
            "txnAlreadyFinished",
            "The transaction has already been finished (Completed or Abandoned).",
        ),
        (
            {"submitKey": "abandoned"},
            "txnAlreadyFinished",
            "The transaction has already been finished (Completed or Abandoned).",
        ),
        ({"submitKey": "k", "note": "x"}, "invalidAttribute", "Invalid request attribute: note"),
        ({"submitKey": 5}, "invalidAttribute", "Invalid request attribute: submitKey"),
    ],
)
async def test_refusals_are_400_with_their_key(api: Any, params: dict[str, Any], key: str, text: str) -> None:
    """Also a transaction that is not found, and nothing is applied."""
    manager = api.sandbox.journey_manager
    manager.seed_transaction("completed", "Completed")
    manager.seed_transaction("abandoned", "Abandoned")
    manager.seed_transaction("hidden", accessible=False)
    reply = await api.post(f"{TXN}/cancel", {"params": params})
    assert (reply.status, reply.json) == (400, {"errorKey": key, "errorMessage": text})
    assert sum(one.cancels for one in manager.transactions.values()) == 0


@pytest.mark.parametrize("body", [None, {}, {"params": []}, {"params": {}, "submitKey": "k"}])
async def test_the_body_must_hold_params_and_nothing_else(api: Any, body: object) -> None:
    """An invalid request attribute is a 400."""
    assert (await api.post(f"{TXN}/cancel", body)).status == 400


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ("nested", {"error": {"key": "submitKeyNotSpecified", "message": "submitKey not specified"}}),
        (
            "list",
            {"errors": [{"errorKey": "submitKeyNotSpecified", "errorMessage": "submitKey not specified"}]},
        ),
        ("property", {"submitKeyNotSpecified": "submitKey not specified"}),
        ("text", "submitKey not specified"),
    ],
)
async def test_error_keys_stand_where_they_were_set(api: Any, shape: str, data: object) -> None:
    """Where the key stands in the JSON is not published."""
    api.sandbox.journey_manager.error_shape = shape
    assert (await api.post(f"{TXN}/cancel", {"params": {}})).json == data


async def test_success_may_be_json(api: Any) -> None:
    """What a success holds is not published either."""
    api.sandbox.journey_manager.success = "json"
    api.sandbox.journey_manager.seed_transaction("k")
    assert (await api.cancel_transaction("k")).json == {"result": "success"}


@pytest.mark.parametrize(("method", "path", "status"), [("POST", f"{TXN}/abort", 404), ("GET", f"{TXN}/cancel", 405)])
async def test_wrong_urls_and_methods_are_refused(api: Any, method: str, path: str, status: int) -> None:
    """404 means that the URL is wrong."""
    assert (await api.call(method, path)).status == status


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer sandbox-bearer"}])
async def test_wrong_credentials_are_401(api: Any, headers: dict[str, str]) -> None:
    """Basic is the only way in by default."""
    reply = await api.post(f"{TXN}/cancel", {"params": {}}, headers=headers)
    assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, 'Basic realm="Workspaces"')


async def test_bearer_is_a_way_in_where_it_is_open(api: Any) -> None:
    """And then the environment names the token."""
    api.sandbox.journey_manager.auth = ("bearer",)
    headers = {"Authorization": "Bearer sandbox-bearer"}
    assert (await api.post(f"{TXN}/query", {}, headers=headers)).status == 200
    assert api.sandbox.settings_env()["JOURNEY_MANAGER_TOKEN"] == "sandbox-bearer"


def _row(key: str, status: str) -> dict[str, str]:
    return {"submitKey": key, "formStatus": status}


def _filter(criterion: str, *params: str, operator: str = "AND") -> dict[str, Any]:
    return {"criteria": criterion.split(","), "params": list(params), "operator": operator}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["new", "open"]),
        ({"filters": [_filter("submitKey = {0}", "done")]}, ["done"]),
        ({"filters": [_filter("submitKey = {0}", "old")]}, ["old"]),
        ({"filters": [_filter("submitKey = {0}", "done", operator="OR")]}, []),
        ({"filters": [_filter("submitKey = {0},submitKey = {1}", "open", "done", operator="OR")]}, ["open"]),
        ({"filters": [_filter("formStatus = {0}", "Abandoned")]}, []),
        ({"filters": [_filter("formStatus != {0}", "Saved")]}, ["open"]),
        ({"sorts": ["submitKey desc"]}, ["open", "new"]),
        ({"fetchLimit": 1, "fetchOffset": 1}, ["open"]),
    ],
)
async def test_a_query_applies_its_silent_defaults(api: Any, query: dict[str, Any], found: list[str]) -> None:
    """Finished and old transactions are left out unless the submit key is asked for under AND."""
    manager = api.sandbox.journey_manager
    manager.seed_transaction("new", "Saved")
    manager.seed_transaction("open", "Opened")
    manager.seed_transaction("done", "Abandoned")
    manager.seed_transaction("old", "Saved", modified_at=datetime.now(UTC) - timedelta(days=15))
    manager.seed_transaction("hidden", "Saved", accessible=False)
    bare = (await api.post(f"{TXN}/query", query)).json
    wrapped = (await api.post(f"{TXN}/query", {"params": query})).json
    assert [one["submitKey"] for one in bare["result"]] == found
    assert wrapped == bare
    assert bare.keys() == {"fetchLimit", "fetchOffset", "durationMs", "result"}


async def test_a_query_shows_the_attributes_asked_for(api: Any) -> None:
    """Only those, or key and status."""
    api.sandbox.journey_manager.seed_transaction("k")
    assert (await api.post(f"{TXN}/query", {})).json["result"] == [_row("k", "Saved")]
    asked = await api.post(f"{TXN}/query", {"attributes": ["formStatus"]})
    assert asked.json["result"] == [{"formStatus": "Saved"}]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 5},
        {"fetchLimit": 10_001},
        {"fetchLimit": "5"},
        {"attributes": ["secret"]},
        {"attributes": "formStatus"},
        {"sorts": ["secret asc"]},
        {"filters": [_filter("submitKey = 'k'")]},
        {"filters": [_filter("submitKey = {0}")]},
        {"filters": [_filter("secret = {0}", "k")]},
        {"filters": [_filter("submitKey = {0}", "k", operator="XOR")]},
        [],
    ],
)
async def test_a_query_that_is_wrong_is_400(api: Any, query: object) -> None:
    """Unknown attributes, and values in the criteria instead of the params."""
    api.sandbox.journey_manager.seed_transaction("k")
    reply = await api.post(f"{TXN}/query", query)
    assert (reply.status, reply.json["errorKey"]) == (400, "invalidAttribute")


@pytest.mark.parametrize(
    ("shape", "status", "content"),
    [("redirect", 302, b""), ("html", 200, b"<html>"), ("sentence", 200, b"This session has been expired")],
)
async def test_a_lost_session_looks_as_it_was_set(api: Any, shape: str, status: int, content: bytes) -> None:
    """It can look like success, and is none."""
    manager = api.sandbox.journey_manager
    manager.auth, manager.expired_answer = ("session",), shape
    manager.seed_transaction("k")
    reply = await api.post(f"{TXN}/cancel", {"params": {"submitKey": "k"}}, headers={})
    assert (reply.status, reply.body[: len(content)]) == (status, content)
    assert manager.transactions["k"].form_status == "Saved"


async def _login(api: Any, **headers: str) -> Any:
    reply = await api.post(LOGIN, PERSON, headers=headers)
    return reply, {"Cookie": reply.headers.get("Set-Cookie", "").partition(";")[0]}


async def test_a_login_opens_the_one_session_of_the_user(api: Any) -> None:
    """A second login is refused with 403 while the first session is active."""
    api.sandbox.journey_manager.auth = ("session",)
    _, cookie = await _login(api)
    second, _ = await _login(api)
    renewed, fresh = await _login(api, **cookie)
    assert (second.status, renewed.status) == (403, 200)
    assert (await api.post(f"{TXN}/query", {}, headers=cookie)).status == 302
    assert (await api.post(f"{TXN}/query", {}, headers=fresh)).status == 200
    assert api.sandbox.journey_manager.logins == 2


async def test_a_second_login_may_end_the_first_session(api: Any) -> None:
    """As the expiry sentence says: due to multiple concurrent logins."""
    manager = api.sandbox.journey_manager
    manager.auth, manager.second_login = ("session",), "replace"
    (_, first), (_, second) = await _login(api), await _login(api)
    assert (await api.post(f"{TXN}/query", {}, headers=first)).status == 302
    assert (await api.post(f"{TXN}/query", {}, headers=second)).status == 200


async def test_an_expired_session_can_be_opened_again(api: Any) -> None:
    """Once it has expired, a login is welcome."""
    api.sandbox.journey_manager.auth = ("session",)
    _, cookie = await _login(api)
    api.sandbox.journey_manager.expire_session()
    assert (await api.post(f"{TXN}/query", {}, headers=cookie)).status == 302
    assert (await _login(api))[0].status == 200


async def test_a_session_lost_on_purpose_is_really_lost(api: Any) -> None:
    """The fault ends the session, so that the next login is not a second one."""
    api.sandbox.journey_manager.auth = ("session",)
    _, cookie = await _login(api)
    api.sandbox.fault(Fault("session-lost", match="transactions.query"))
    statuses = [(await api.post(f"{TXN}/query", {}, headers=cookie)).status for _ in range(2)]
    assert statuses == [302, 302]
    assert (await _login(api))[0].status == 200


async def test_a_csrf_header_is_wanted_where_it_is_set(api: Any) -> None:
    """Without the token of the login it is a 403."""
    manager = api.sandbox.journey_manager
    manager.auth, manager.csrf_header = ("session",), "X-CSRF"
    reply, cookie = await _login(api)
    token = {"X-CSRF": reply.headers["X-CSRF"]}
    assert (await api.post(f"{TXN}/query", {}, headers=cookie)).status == 403
    assert (await api.post(f"{TXN}/query", {}, headers=cookie | token)).status == 200


async def test_a_wrong_password_opens_nothing(api: Any) -> None:
    """The login form answers 401, and its page is there to be seen."""
    wrong = await api.call("POST", LOGIN, data={"username": "sandbox", "password": "no"}, headers={})
    page = await api.get(LOGIN, headers={})
    assert (wrong.status, page.status, page.headers["Content-Type"]) == (401, 200, "text/html")
