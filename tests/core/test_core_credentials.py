"""Credentials: loaded once, renewed once, and never shown."""

import asyncio
import json
import logging
import pickle
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs
import pytest

from omeda_async import OutcomeStatus, RateLimit, errors, events
from omeda_async._auth import LOADS_KEPT, Credentials, FixedCredentials, bearer, session
from omeda_async._call import read_response
from omeda_async._operation import Operation, Response
from omeda_async._single import call
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.omeda import _operations as omeda
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    DEPLOYMENT_CANCEL,
    TRANSACTION_CANCEL,
    Case,
    Reply,
    account,
    answer,
    campaign,
    lost,
    omeda_error,
    transaction,
)

REFUSED = answer(401, {})
LOGIN_PAGE = answer(302, text="", Location="/login")
D = OutcomeStatus


class Tokens:
    """A token callable that counts, and gives the tokens in turn, the last for ever."""

    def __init__(self, *tokens: Any) -> None:
        self.tokens = list(tokens)
        self.asked = 0
        self.at_work = 0
        self.most_at_work = 0

    async def __call__(self) -> Any:
        """Return the next token, after a second."""
        self.asked += 1
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        await asyncio.sleep(1)
        self.at_work -= 1
        token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        if isinstance(token, Exception):
            raise token
        return token

    async def headers(self) -> Mapping[str, str]:
        """Return the next token as the headers of a session."""
        return {"Cookie": f"JSESSIONID={await self()}"}


def _signed(transport: Any) -> list[str]:
    return [one.headers.get("Authorization") or one.headers.get("Cookie") for one in transport.sent]


async def test_a_token_callable_is_asked_once_for_many_calls() -> None:
    """It is asked on first use, by one of the callers, and the others share what it gave."""
    tokens = Tokens("one")
    owner, transport = account(*[CAMPAIGN_CANCEL.done] * 8, credentials=bearer(tokens))
    results = await asyncio.gather(*[CAMPAIGN_CANCEL.run(owner) for _ in range(8)])
    assert {result.status for result in results} == {D.DONE}
    assert (tokens.asked, tokens.most_at_work, set(_signed(transport))) == (1, 1, {"Bearer one"})


async def test_a_plain_callable_may_give_the_token_at_once() -> None:
    """It need not be async."""
    owner, transport = account(CAMPAIGN_CANCEL.done, credentials=bearer(lambda: "plain"))
    await CAMPAIGN_CANCEL.run(owner)
    assert _signed(transport) == ["Bearer plain"]


async def test_on_401_the_token_is_asked_for_once_more_and_the_call_repeated_once() -> None:
    """A rolled key is picked up by the call that met it."""
    tokens = Tokens("old", "new")
    owner, transport = account(REFUSED, CAMPAIGN_CANCEL.done, credentials=bearer(tokens))
    result = await CAMPAIGN_CANCEL.run(owner)
    assert (result.status, result.attempts) == (D.DONE, 2)
    assert _signed(transport) == ["Bearer old", "Bearer new"]


async def test_a_second_401_is_final() -> None:
    """One renewal for a call, and no loop."""
    tokens = Tokens("a", "b", "c")
    owner, transport = account(REFUSED, REFUSED, REFUSED, credentials=bearer(tokens))
    result = await CAMPAIGN_CANCEL.run(owner)
    assert (type(result.error), result.status) == (errors.AuthenticationFailed, D.FAILED)
    assert (tokens.asked, len(transport.sent)) == (2, 2)


@pytest.mark.parametrize("credentials", [bearer("fixed"), bearer(Tokens("a"))], ids=["fixed", "callable"])
async def test_a_403_renews_nothing(credentials: Credentials) -> None:
    """A missing right is not mended by another login."""
    owner, transport = account(answer(403, {}), credentials=credentials)
    result = await CAMPAIGN_CANCEL.run(owner)
    assert (type(result.error), len(transport.sent)) == (errors.AuthenticationFailed, 1)


@pytest.mark.parametrize("second", ["new", "old"], ids=["another token", "the same token"])
async def test_eight_calls_that_meet_401_renew_the_token_once(second: str) -> None:
    """The first asks for it, the others find it renewed, even when the callable gives the same one again."""
    tokens = Tokens("old", second)
    script = [REFUSED] * 8 + [CAMPAIGN_CANCEL.done] * 8
    owner, transport = account(*script, credentials=bearer(tokens), rate_limit=RateLimit(parallel=100))
    results = await asyncio.gather(*[CAMPAIGN_CANCEL.run(owner) for _ in range(8)])
    assert {result.status for result in results} == {D.DONE}
    assert (tokens.asked, tokens.most_at_work, len(transport.sent)) == (2, 1, 16)


@pytest.mark.parametrize(
    "given", ["", " ", "a\nb", None, 7, ValueError("top-secret"), KeyError("top-secret")], ids=repr
)
async def test_a_callable_that_gives_no_token_is_a_configuration_error(given: Any) -> None:
    """Nothing is sent, no permit is kept, and the error shows nothing of what went wrong inside."""
    owner, transport = account(credentials=bearer(Tokens(given)))
    with pytest.raises(errors.ConfigurationError) as caught:
        await call(owner, CAMPAIGN_CANCEL.operation, CAMPAIGN_CANCEL.params)
    assert (transport.sent, owner.limiter.view().in_flight, caught.value.attempts) == ([], 0, 0)
    assert "top-secret" not in repr(caught.value)
    assert caught.value.provider == "omeda"


async def test_a_callable_that_fails_when_asked_again_is_reported_as_that() -> None:
    """After the 401 the reload breaks: the attempt was refused, nothing is in doubt."""
    tokens = Tokens("old", errors.AnswerLost("the token service is away", sent=True))
    owner, transport = account(REFUSED, credentials=bearer(tokens))
    result = await CAMPAIGN_CANCEL.run(owner)
    assert (type(result.error), result.status, len(transport.sent)) == (errors.ConnectionFailed, D.FAILED, 1)
    assert (result.doubtful, result.attempts) == (False, 1)


class ServiceError(Exception):
    """What a client of a token service may raise: no class of Python's own."""


PASSING = [
    OSError(101, "top-secret"),
    TimeoutError("top-secret"),
    ssl.SSLCertVerificationError("top-secret"),
    ServiceError("top-secret"),
    RuntimeError("top-secret"),
    errors.AnswerLost("top-secret", sent=True),
    errors.ServerError("top-secret", status=500, sent=True),
    errors.UnreadableAnswer("top-secret", status=200, sent=True),
    errors.RateLimited("top-secret", status=429),
]


@pytest.mark.parametrize("trouble", PASSING, ids=repr)
async def test_a_token_service_that_is_away_for_a_while_ends_nothing(trouble: Exception) -> None:
    """The token is asked for again after the back-off, as after a connection that failed; the record is done."""
    tokens = Tokens(trouble, trouble, "new")
    owner, transport = account(CAMPAIGN_CANCEL.done, credentials=bearer(tokens))
    result = await CAMPAIGN_CANCEL.run(owner)
    assert (result.status, tokens.asked, _signed(transport)) == (D.DONE, 3, ["Bearer new"])
    assert transport.sent[0].at >= 3 + 0.5 + 1.0  # three askings of a second each, and the back-off between them


@pytest.mark.parametrize("trouble", PASSING, ids=repr)
async def test_a_token_service_that_stays_away_is_a_failed_connection(trouble: Exception) -> None:
    """Nothing left, so that nothing is in doubt, whatever the service's own error says of its own request."""
    owner, transport = account(credentials=bearer(Tokens(trouble)), attempts=2)
    result = await CAMPAIGN_CANCEL.run(owner)
    assert (type(result.error), result.status, result.doubtful) == (errors.ConnectionFailed, D.FAILED, False)
    assert (transport.sent, result.error.sent) == ([], False)
    assert "top-secret" not in repr(result.error)
    assert type(trouble).__name__ in repr(result.error)


@pytest.mark.parametrize(
    ("mistake", "kind", "status"),
    [
        (TypeError("x"), errors.ConfigurationError, D.NOT_SENT),
        (json.JSONDecodeError("x", "", 0), errors.ConfigurationError, D.NOT_SENT),
        (NotImplementedError("x"), errors.ConfigurationError, D.NOT_SENT),
        (errors.BadRequest("x", status=400), errors.ConfigurationError, D.NOT_SENT),
        (errors.InvalidRecord("x"), errors.ConfigurationError, D.NOT_SENT),
        (errors.ConfigurationError("mine"), errors.ConfigurationError, D.NOT_SENT),
        (errors.ClosedError("mine"), errors.ClosedError, D.NOT_SENT),
        (errors.LimitWaitExceeded("mine"), errors.LimitWaitExceeded, D.NOT_SENT),
        (errors.ConnectionFailed("mine"), errors.ConnectionFailed, D.FAILED),
        (errors.AuthenticationFailed("mine", status=401), errors.AuthenticationFailed, D.FAILED),
    ],
    ids=repr,
)
async def test_what_a_token_callable_raises_is_told_as_what_it_is(
    mistake: Exception, kind: type[errors.OmedaAsyncError], status: D
) -> None:
    """Its own mistakes are a wrong setting; an error of ours that means the same is passed on as it is."""
    owner, transport = account(credentials=bearer(Tokens(mistake)), attempts=2)
    result = await CAMPAIGN_CANCEL.run(owner)
    assert (type(result.error), result.status, transport.sent) == (kind, status, [])
    assert (result.error is mistake) is (getattr(mistake, "message", "") == "mine")


async def test_the_secrets_of_the_last_few_loads_are_kept_and_no_more() -> None:
    """A token that is renewed for weeks does not fill the memory, nor slow the search for it in every answer."""
    numbers = iter(range(1000))
    credentials = bearer(lambda: f"token-number-{next(numbers)}")
    shut_out = errors.AuthenticationFailed("x", status=401)
    await credentials.ready()
    for _ in range(999):
        assert await credentials.renew(shut_out, credentials.headers)
    assert {secret for secret in credentials.secrets if not secret.startswith("Bearer")} == {
        f"token-number-{number}" for number in range(1000 - LOADS_KEPT, 1000)
    }
    assert len(credentials.secrets) == 2 * LOADS_KEPT


async def test_the_same_token_given_again_drives_no_other_out() -> None:
    """An answer to what an earlier token has signed may still come, however often the present one was given since."""
    tokens = iter(["the-first-token", *["the-second-token"] * 50])
    credentials = bearer(lambda: next(tokens))
    await credentials.ready()
    for _ in range(50):
        await credentials.renew(errors.AuthenticationFailed("x", status=401), credentials.headers)
    assert {"the-first-token", "the-second-token"} <= set(credentials.secrets)


async def test_a_session_is_prepared_once_for_many_calls() -> None:
    """Journey Manager allows one active session per user: the login is single-flight."""
    logins = Tokens("abcdef1")
    script = [TRANSACTION_CANCEL.done] * 6
    owner, transport = account(*script, credentials=session(logins.headers))
    await asyncio.gather(*[TRANSACTION_CANCEL.run(owner) for _ in range(6)])
    assert (logins.asked, set(_signed(transport))) == (1, {"JSESSIONID=abcdef1"})


HTML = answer(200, text="<html>log in</html>", Content_Type="text/html")
EXPIRED = answer(200, text="This session has been expired (possibly due to multiple concurrent logins)")


@pytest.mark.parametrize("sign", [LOGIN_PAGE, HTML, EXPIRED, REFUSED], ids=["302", "html", "sentence", "401"])
async def test_a_lost_session_is_prepared_once_more_and_the_call_repeated_once(sign: Any) -> None:
    """Each sign of a dead session leads to one new login and one repeat."""
    logins = Tokens("abcdef1", "abcdef2")
    owner, transport = account(sign, TRANSACTION_CANCEL.done, credentials=session(logins.headers))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, logins.asked) == (D.DONE, 2)
    assert _signed(transport) == ["JSESSIONID=abcdef1", "JSESSIONID=abcdef2"]


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
        (transaction("Abandoned"), D.ALREADY_DONE, None),
        (transaction("Completed"), D.TOO_LATE, False),
        (transaction("Saved"), D.FAILED, False),
        (answer(200, {"result": []}), D.UNKNOWN, True),
        (HTML, D.UNKNOWN, True),
        (LOGIN_PAGE, D.UNKNOWN, True),
    ],
    ids=["abandoned", "completed", "saved", "not shown", "another page", "login page"],
)
async def test_a_page_under_a_200_is_settled_by_the_form_status_or_unknown(
    found: Any, status: D, sent: bool | None
) -> None:
    """It may be a proxy's, and the cancel carried out behind it: only a read of the form status makes that certain."""
    logins = Tokens("abcdef1", "abcdef2")
    owner, transport = account(HTML, HTML, found, credentials=session(logins.headers))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, logins.asked) == (status, 2)
    assert [one.path.rpartition("/")[2] for one in transport.sent] == ["cancel", "cancel", "query"]
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


async def test_a_cancelled_login_leaves_the_next_caller_to_log_in() -> None:
    """Whoever was waiting goes on with a login of its own."""
    logins = Tokens("abcdef1")
    owner, _ = account(TRANSACTION_CANCEL.done, credentials=session(logins.headers))
    first = asyncio.create_task(TRANSACTION_CANCEL.run(owner))
    second = asyncio.create_task(TRANSACTION_CANCEL.run(owner))
    await asyncio.sleep(0.5)
    first.cancel()
    assert (await second).status is D.DONE
    assert (first.cancelled(), logins.asked) == (True, 2)


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


SECRET = 'tok@en/with"quote-7f3a'
ECHO = f"the key {SECRET} of someone.private@omeda.com is wrong"


def _everything(error: BaseException | None) -> str:
    assert isinstance(error, errors.OmedaAsyncError)
    return " ".join([str(error), repr(error), repr(vars(error)), repr(pickle.dumps(error))])


@pytest.mark.parametrize(
    ("case", "reply"),
    [
        (DEPLOYMENT_CANCEL, omeda_error(400, ECHO)),
        (DEPLOYMENT_CANCEL, omeda_error(400, "x" * 140 + ECHO)),
        (CAMPAIGN_CANCEL, answer(403, {"code": 403, "title": ECHO, "trace_id": SECRET})),
        (CAMPAIGN_CANCEL, answer(403, text="<html>" + "x" * 185 + SECRET)),
        (TRANSACTION_CANCEL, answer(500, {"errorKey": "internalError", "message": ECHO})),
        (TRANSACTION_CANCEL, answer(400, text=ECHO)),
    ],
)
async def test_a_secret_that_the_provider_echoes_is_in_no_error(case: Case, reply: Any) -> None:
    """Neither whole nor in part, plain nor escaped, wherever the error keeps text, though it is cut and masked."""
    credentials = FixedCredentials({"Authorization": f"Bearer {SECRET}"}, (SECRET,))
    owner, _ = account(reply, reply, credentials=credentials, attempts=1)
    shown = _everything((await case.run(owner, explain=False)).error)
    assert "7f3a" not in shown
    assert "tok" not in shown.replace("token", "")
    assert json.dumps(SECRET)[1:-1] not in shown


RECEIPT = {"SubmissionId": "s", "Success": ECHO, "Warnings": [f"{SECRET} expires soon"]}


@pytest.mark.parametrize(
    ("operation", "reply"),
    [
        (omeda.SUBMIT_OPT_OUTS, answer(200, RECEIPT)),
        (omeda.SUBMIT_OPT_OUTS, answer(200, text=json.dumps(RECEIPT).replace("/", r"\/"))),
        (
            omeda.CREATE,
            answer(200, {"ResponseInfo": [{"TrackId": "F", "Url": f"https://x/?k={quote(SECRET, safe='')}"}]}),
        ),
        (omeda.LOOKUP, answer(200, {"TrackId": "F", "Status": "New", "Notes": ECHO})),
        (omeda.SEARCH, answer(200, {"Deployments": [{"TrackId": "F", "Notes": [{"by": SECRET}]}]})),
        (ocamba.GET, answer(200, {"total": 1, "items": [{"id": "1", "status": "sent", "name": ECHO}]})),
        (journey_manager.QUERY, answer(200, {"result": [{"submitKey": "k", "formStatus": "Saved", "note": ECHO}]})),
    ],
)
async def test_a_secret_that_the_provider_echoes_is_in_no_success(operation: Operation[Any, Any], reply: Any) -> None:
    """Receipts are shown, pickled and journalled as errors are, and what was read keeps the whole object."""
    result = read_response(operation, reply, (SECRET,))
    assert type(result) is type(operation.parse(Response(reply.status, reply.headers, reply.body)))
    shown = " ".join([repr(result), repr(attrs.asdict(result) if attrs.has(type(result)) else result)])
    shown += repr(pickle.dumps(result))
    assert not isinstance(result, errors.OmedaAsyncError)
    assert "7f3a" not in shown
    assert "***" in shown


@pytest.mark.parametrize("password", ["Saved", "k", "15d0", "e", "result"])
def test_no_password_that_may_stand_anywhere_by_chance_changes_what_was_read(password: str) -> None:
    """A state or an id that is read wrong would be worse than a weak password that is shown where it stood anyway."""
    reply = transaction("Saved")
    found: Any = read_response(journey_manager.QUERY, reply, (password,))
    assert found == journey_manager.QUERY.parse(Response(reply.status, reply.headers, reply.body))
    assert found.items[0].form_status == "Saved"


@pytest.mark.parametrize(
    ("header", "secrets", "kept"),
    [
        ({"Cookie": "JSESSIONID=0123456789abcdef; lang=en"}, ["0123456789abcdef"], "en"),
        ({"X-CSRF-Token": "csrf-value-1", "Accept-Language": "en"}, ["csrf-value-1"], "en"),
        ({"Authorization": "Bearer t0k"}, ["t0k"], "en"),
    ],
)
async def test_what_a_session_carries_is_hidden_and_plain_words_are_not(
    header: dict[str, str], secrets: list[str], kept: str
) -> None:
    """A cookie's value alone is a secret too, while a short word of a header does not maim the texts."""

    async def prepare() -> Mapping[str, str]:
        return header

    refusal = answer(400, text=" ".join([*secrets, "submitKey not specified", kept]))
    owner, _ = account(refusal, credentials=session(prepare))
    shown = _everything((await TRANSACTION_CANCEL.run(owner)).error)
    assert all(secret not in shown for secret in secrets)
    assert "submitKey not specified en" in shown


async def test_nothing_logged_shows_a_secret_or_an_address(caplog: pytest.LogCaptureFixture) -> None:
    """The default hook logs attempts, pauses and retries by class and number alone."""
    seen: list[events.Event] = []
    owner, _ = account(
        omeda_error(503, ECHO),
        answer(429, {"x": ECHO}, Retry_After="2"),
        omeda_error(400, ECHO),
        credentials=FixedCredentials({"x-omeda-appid": SECRET}, (SECRET,)),
        hooks=(events.log_event, seen.append),
    )
    with caplog.at_level(logging.DEBUG):
        result = await DEPLOYMENT_CANCEL.run(owner)
    assert type(result.error) is errors.BadRequest
    ours = [record for record in caplog.records if record.name.startswith("omeda_async")]
    assert len(ours) >= 4
    for text in (caplog.text, repr(seen)):
        assert SECRET not in text
        assert "someone.private" not in text


async def test_events_tell_the_story_of_a_call() -> None:
    """Each attempt with its status, time and error; the back-off; the settling's verdict."""
    seen: list[events.Event] = []
    owner, _ = account(lost(), campaign("canceled"), hooks=(seen.append,))
    await CAMPAIGN_CANCEL.run(owner)
    first, pause, read, settled = seen
    assert isinstance(first, events.AttemptEnded)
    assert (first.operation, first.attempt, first.status, first.error) == ("campaigns.cancel", 1, None, "AnswerLost")
    assert first.seconds == pytest.approx(0.01, abs=1e-3)
    assert isinstance(pause, events.RetryPlanned)
    assert (pause.attempt, pause.error) == (1, "AnswerLost")
    assert 0.5 <= pause.wait <= 0.625
    assert isinstance(read, events.AttemptEnded)
    assert (read.operation, read.status, read.error) == ("campaigns.get", 200, None)
    assert isinstance(settled, events.Settled)
    assert settled.verdict == "done"


async def test_a_hook_that_fails_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged by its type alone, and the call goes on."""

    def broken(_event: events.Event) -> None:
        raise ValueError(SECRET)

    seen: list[events.Event] = []
    owner, _ = account(CAMPAIGN_CANCEL.done, hooks=(broken, seen.append))
    assert (await CAMPAIGN_CANCEL.run(owner)).status is D.DONE
    assert len(seen) == 1
    assert "broken failed: ValueError" in caplog.text
    assert SECRET not in caplog.text
