"""A redirect is never followed: the error names the host it points to, and says what that means."""

from typing import Any

import pytest

from omeda_async._operation import Operation, Response
from omeda_async.errors import OmedaAsyncError, SessionLost, UnreadableAnswer
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.omeda import _operations as omeda

OPERATIONS = pytest.mark.parametrize(
    "operation",
    [omeda.CANCEL, omeda.LOOKUP, omeda.SUBMIT_OPT_OUTS, ocamba.CANCEL, ocamba.GET, journey_manager.CANCEL,
     journey_manager.QUERY],
    ids=lambda one: one.name,
)  # fmt: skip
MOVED = "if the provider has moved there, set base_url to it"
LOG_IN = "redirects to a log-in page"
WHERE = [
    ("https://new-host.example/", "redirects to new-host.example", MOVED),
    ("https://new-host.example:8443/x?token=secret#secret", "redirects to new-host.example:", MOVED),
    ("//new-host.example/x", "redirects to new-host.example", MOVED),
    ("https://name:secret@new-host.example/x", "redirects to new-host.example", MOVED),
    ("https://sso.example.com/x?SAMLRequest=secret", "(sso.example.com)", LOG_IN),
    ("https://example.com/oauth2/authorize?client_id=secret", "(example.com)", LOG_IN),
    ("https://login.example.com/", "(login.example.com)", LOG_IN),
    ("/login.jsp?next=secret", "(the same host)", LOG_IN),
    ("https://api.example/Account/SignIn", "(the same host)", LOG_IN),
    ("https://api.example/v2/x", "the same host", "begin base_url with https://"),
    ("http://api.example/v2/x", "another path of the same host", "check base_url"),
    ("/v2/x?secret", "another path of the same host", "check base_url"),
    ("/blog/input", "another path of the same host", "check base_url"),
    ("", "does not say where to", "check base_url"),
    ("http://[secret", "no URL", "check base_url"),
    ("https://a\u202eb.example/", "another host", MOVED),
    ("https://" + "x" * 5000 + "/", "x" * 253 + ":", MOVED),
]


def redirect(location: str, status: int = 302, *, in_session: bool = True) -> Response:
    """A redirect from ``http://api.example/base`` to there."""
    headers = {"Location": location} if location else {}
    return Response(status, headers, b"<html>secret</html>", None, "http://api.example/base", in_session)


@OPERATIONS
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(("location", "where", "what"), WHERE, ids=[one[0][:40] or "nowhere" for one in WHERE])
def test_a_redirect_names_its_host_and_what_to_do(
    operation: Operation[Any, Any], location: str, where: str, what: str, status: int
) -> None:
    """The host alone: paths and queries may hold secrets."""
    error = operation.parse(redirect(location, status, in_session=False))
    assert type(error) is UnreadableAnswer
    assert where in str(error)
    assert what in str(error)
    assert "secret" not in str(error)
    assert (error.status, error.sent) == (status, True)


@pytest.mark.parametrize("operation", [journey_manager.CANCEL, journey_manager.QUERY], ids=lambda one: one.name)
def test_only_who_has_a_session_can_lose_one(operation: Operation[Any, Any]) -> None:
    """With a name and a password it is the URL, or what stands before it."""
    for response in (redirect("/login"), Response(200, {}, b"<html>Log in</html>")):
        lost = operation.parse(response)
        assert isinstance(lost, SessionLost)
        assert "the session is lost" in str(lost)
    for response in (
        redirect("/login", in_session=False),
        Response(200, {}, b"<html>Log in</html>", in_session=False),
    ):
        error = operation.parse(response)
        assert type(error) is UnreadableAnswer
        assert "session" not in str(error)
        assert error.sent


def test_a_lost_session_says_where_the_redirect_points_to() -> None:
    """A log-in page of another host is a gateway's."""
    error = journey_manager.CANCEL.parse(redirect("https://sso.example.com/x?secret"))
    assert isinstance(error, OmedaAsyncError)
    assert "sso.example.com" in str(error)
    assert "secret" not in str(error)


def test_what_is_no_redirect_is_told_as_before() -> None:
    """304 and the like point nowhere."""
    error = omeda.CANCEL.parse(Response(304, {"Location": "/x"}, b""))
    assert isinstance(error, UnreadableAnswer)
    assert "redirect" not in str(error)


@OPERATIONS
@pytest.mark.parametrize("status", [200, 203])
def test_a_page_in_the_place_of_an_answer_is_told_as_one(operation: Operation[Any, Any], status: int) -> None:
    """Most likely it is a proxy's, or a log-in page."""
    error = operation.parse(Response(status, {}, b"\n<!DOCTYPE html><html>Sign in</html>", in_session=False))
    assert type(error) is UnreadableAnswer
    assert "a page came instead of the response: check base_url" in str(error)
