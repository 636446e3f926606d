"""Sessions: opened once, opened again once, and a page in the place of an answer."""

import asyncio
from typing import Any

import pytest

from omeda_async import OutcomeStatus, errors
from omeda_async._auth import session
from tests.core.logins import LOGIN_HTML, LOGIN_PAGE, REFUSED, Tokens, signed
from tests.core.scripted import (
    TRANSACTION_CANCEL,
    Reply,
    account,
    answer,
    lost,
    transaction,
)

D = OutcomeStatus


async def test_a_session_is_prepared_once_for_many_calls() -> None:
    """Journey Manager allows one active session per user: the login is single-flight."""
    logins = Tokens("abcdef1")
    script = [TRANSACTION_CANCEL.done] * 6
    owner, transport = account(*script, credentials=session(logins.headers))
    await asyncio.gather(*[TRANSACTION_CANCEL.run(owner) for _ in range(6)])
    assert (logins.asked, set(signed(transport))) == (1, {"JSESSIONID=abcdef1"})


EXPIRED = answer(200, text="This session has been expired (possibly due to multiple concurrent logins)")


@pytest.mark.parametrize("sign", [LOGIN_PAGE, LOGIN_HTML, EXPIRED, REFUSED], ids=["302", "html", "sentence", "401"])
async def test_a_lost_session_is_prepared_once_more_and_the_call_repeated_once(sign: Any) -> None:
    """Each sign of a dead session leads to one new login and one repeat."""
    logins = Tokens("abcdef1", "abcdef2")
    owner, transport = account(sign, TRANSACTION_CANCEL.done, credentials=session(logins.headers))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, logins.asked) == (D.DONE, 2)
    assert signed(transport) == ["JSESSIONID=abcdef1", "JSESSIONID=abcdef2"]


async def test_a_session_lost_twice_is_reported() -> None:
    """No login loop: the second loss is the caller's to know."""
    logins = Tokens("abcdef1")
    owner, transport = account(LOGIN_PAGE, LOGIN_PAGE, credentials=session(logins.headers))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (type(result.error), result.status) == (errors.SessionLost, D.FAILED)
    assert (logins.asked, len(transport.sent)) == (2, 2)


@pytest.mark.parametrize(
    ("found", "status", "sent"),
    [
        ([transaction("Abandoned")], D.ALREADY_DONE, None),
        ([transaction("Completed")], D.TOO_LATE, False),
        ([transaction("Saved"), transaction("Saved")], D.FAILED, False),
        ([transaction("Saved"), transaction("Abandoned")], D.ALREADY_DONE, None),
        ([transaction("Saved"), LOGIN_PAGE], D.UNKNOWN, True),
        ([answer(200, {"result": []})], D.UNKNOWN, True),
        ([LOGIN_HTML], D.UNKNOWN, True),
        ([LOGIN_PAGE], D.UNKNOWN, True),
    ],
    ids=["abandoned", "completed", "saved", "late", "then login page", "not shown", "another page", "login page"],
)
async def test_a_page_under_a_200_is_settled_by_the_form_status_or_unknown(
    found: Any, status: D, sent: bool | None
) -> None:
    """It may be a proxy's, and the cancel carried out behind it: only a read of the form status makes that certain."""
    logins = Tokens("abcdef1", "abcdef2")
    owner, transport = account(LOGIN_HTML, LOGIN_HTML, *found, credentials=session(logins.headers))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, logins.asked) == (status, 2)
    assert [one.path.rpartition("/")[2] for one in transport.sent] == ["cancel", "cancel", *["query"] * len(found)]
    assert (result.error.sent if result.error else None) is sent


@pytest.mark.parametrize("sign", [LOGIN_PAGE, EXPIRED], ids=["302", "sentence"])
async def test_a_redirect_or_the_sentence_is_certain_and_needs_no_read(sign: Any) -> None:
    """The provider itself says that the session is lost: the cancel was not carried out."""
    owner, transport = account(sign, sign, credentials=session(Tokens("abcdef1", "abcdef2").headers))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (type(result.error), result.status, result.doubtful) == (errors.SessionLost, D.FAILED, False)
    assert len(transport.sent) == 2


async def test_a_403_opens_no_session() -> None:
    """It has four meanings, and none is mended by a login."""
    logins = Tokens("abcdef1")
    owner, _ = account(answer(403, text=""), credentials=session(logins.headers))
    assert type((await TRANSACTION_CANCEL.run(owner)).error) is errors.AuthenticationFailed
    assert logins.asked == 1


async def test_six_calls_that_lose_the_session_open_it_once() -> None:
    """Single-flight also for the renewal."""
    logins = Tokens("abcdef1", "abcdef2")
    script = [LOGIN_PAGE] * 4 + [TRANSACTION_CANCEL.done] * 4
    owner, _ = account(*script, credentials=session(logins.headers))
    results = await asyncio.gather(*[TRANSACTION_CANCEL.run(owner) for _ in range(4)])
    assert ({result.status for result in results}, logins.asked) == ({D.DONE}, 2)


@pytest.mark.parametrize("given", [None, {"Cookie": 7}, {"Cookie": "a\r\nb"}, {7: "x"}, 3], ids=repr)
async def test_a_login_that_gives_no_headers_is_a_configuration_error(given: Any) -> None:
    """Whatever the hook returns, the error is one of ours."""

    async def prepare() -> Any:
        return given

    owner, transport = account(credentials=session(prepare))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (type(result.error), result.status, transport.sent) == (errors.ConfigurationError, D.NOT_SENT, [])


async def test_a_cancelled_caller_leaves_the_login_to_the_next_one() -> None:
    """Whoever is waiting for it, too, has it; it is not begun anew."""
    logins = Tokens("abcdef1")
    owner, _ = account(TRANSACTION_CANCEL.done, credentials=session(logins.headers))
    first = asyncio.create_task(TRANSACTION_CANCEL.run(owner))
    second = asyncio.create_task(TRANSACTION_CANCEL.run(owner))
    await asyncio.sleep(0.5)
    first.cancel()
    assert (await second).status is D.DONE
    assert (first.cancelled(), logins.asked) == (True, 1)


async def test_lost_and_then_shut_out_is_unknown_without_a_login_loop() -> None:
    """After a lost answer a dead login settles nothing: unknown, with one renewal for the call and its read."""
    logins = Tokens("abcdef1")
    script: list[Reply] = [lost(), LOGIN_PAGE, LOGIN_PAGE, LOGIN_PAGE, LOGIN_PAGE, LOGIN_PAGE, LOGIN_PAGE, LOGIN_PAGE]
    owner, transport = account(*script, credentials=session(logins.headers))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, result.doubtful) == (D.UNKNOWN, True)
    assert logins.asked == 2
    assert len(transport.sent) <= 5


async def test_the_read_that_settles_renews_the_session_too() -> None:
    """The lost session is noticed by the read: it is opened again, and the read tells."""
    logins = Tokens("abcdef1", "abcdef2")
    owner, _ = account(lost(), LOGIN_PAGE, transaction("Abandoned"), credentials=session(logins.headers))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, logins.asked) == (D.ALREADY_DONE, 2)
