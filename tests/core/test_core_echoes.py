"""Nothing that is shown, logged or told to a hook holds a secret."""

import json
import logging
import pickle
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs
import pytest

from omeda_async import OutcomeStatus, errors, events
from omeda_async._auth import FixedCredentials, session
from omeda_async._call import read_response
from omeda_async._operation import Operation, Response
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.omeda import _operations as omeda
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    DEPLOYMENT_CANCEL,
    TRANSACTION_CANCEL,
    Case,
    account,
    answer,
    campaign,
    deployment,
    lost,
    omeda_error,
    transaction,
)

D = OutcomeStatus

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
        *[deployment("Scheduled")] * 2,
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
    kinds = ["CallStarted", "AttemptStarted", "AttemptEnded", "RetryPlanned"]
    kinds += ["CallStarted", "AttemptStarted", "AttemptEnded", "CallEnded", "Settled", "CallEnded", "OutcomesReached"]
    assert [type(event).__name__ for event in seen] == kinds
    first, pause, read, settled = seen[2], seen[3], seen[6], seen[8]
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
    assert len(seen) == 5
    assert caplog.text.count("broken failed: ValueError") == 1
    assert SECRET not in caplog.text
