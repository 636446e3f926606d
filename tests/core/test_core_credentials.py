"""Tokens: loaded once, renewed once, and told for what they are."""

import asyncio
import json
import ssl
from typing import Any

import pytest

from omeda_async import OutcomeStatus, RateLimit, errors
from omeda_async._auth import LOADS_KEPT, Credentials, bearer
from omeda_async._single import call
from tests.core.logins import REFUSED, Tokens, signed
from tests.core.raw import with_locals
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    account,
    answer,
)

D = OutcomeStatus


async def test_a_token_callable_is_asked_once_for_many_calls() -> None:
    """It is asked on first use, by one of the callers, and the others share what it gave."""
    tokens = Tokens("one")
    owner, transport = account(*[CAMPAIGN_CANCEL.done] * 8, credentials=bearer(tokens))
    results = await asyncio.gather(*[CAMPAIGN_CANCEL.run(owner) for _ in range(8)])
    assert {result.status for result in results} == {D.DONE}
    assert (tokens.asked, tokens.most_at_work, set(signed(transport))) == (1, 1, {"Bearer one"})


async def test_a_plain_callable_may_give_the_token_at_once() -> None:
    """It need not be async."""
    owner, transport = account(CAMPAIGN_CANCEL.done, credentials=bearer(lambda: "plain"))
    await CAMPAIGN_CANCEL.run(owner)
    assert signed(transport) == ["Bearer plain"]


async def test_on_401_the_token_is_asked_for_once_more_and_the_call_repeated_once() -> None:
    """A rolled key is picked up by the call that met it."""
    tokens = Tokens("old", "new")
    owner, transport = account(REFUSED, CAMPAIGN_CANCEL.done, credentials=bearer(tokens))
    result = await CAMPAIGN_CANCEL.run(owner)
    assert (result.status, result.attempts) == (D.DONE, 2)
    assert signed(transport) == ["Bearer old", "Bearer new"]


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
    "given", ["", " ", "top-secret\n", None, 7, ValueError("top-secret"), KeyError("top-secret")], ids=repr
)
async def test_a_callable_that_gives_no_token_is_a_configuration_error(given: Any) -> None:
    """Nothing is sent, no permit is kept, and the error shows nothing of what went wrong inside."""
    owner, transport = account(credentials=bearer(Tokens(given)))
    with pytest.raises(errors.ConfigurationError) as caught:
        await call(owner, CAMPAIGN_CANCEL.operation, CAMPAIGN_CANCEL.params)
    assert (transport.sent, owner.limiter.view().in_flight, caught.value.attempts) == ([], 0, 0)
    assert "top-secret" not in repr(caught.value)
    assert isinstance(given, Exception) or "top-secret" not in with_locals(caught.value)
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
    assert (result.status, tokens.asked, signed(transport)) == (D.DONE, 3, ["Bearer new"])
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
    await credentials.ready(1.0)
    for _ in range(999):
        assert await credentials.renew(shut_out, credentials.headers, 1.0)
    assert {secret for secret in credentials.secrets if not secret.startswith("Bearer")} == {
        f"token-number-{number}" for number in range(1000 - LOADS_KEPT, 1000)
    }
    assert len(credentials.secrets) == 2 * LOADS_KEPT


async def test_the_same_token_given_again_drives_no_other_out() -> None:
    """An answer to what an earlier token has signed may still come, however often the present one was given since."""
    tokens = iter(["the-first-token", *["the-second-token"] * 50])
    credentials = bearer(lambda: next(tokens))
    await credentials.ready(1.0)
    for _ in range(50):
        await credentials.renew(errors.AuthenticationFailed("x", status=401), credentials.headers, 1.0)
    assert {"the-first-token", "the-second-token"} <= set(credentials.secrets)
