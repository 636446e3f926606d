"""A base URL that leads elsewhere on the same host: the words that a server has for that are of no record."""

from collections.abc import Callable

import pytest

from omeda_async import (
    BasicAuth,
    BulkRun,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    OutcomeStatus,
    SessionManager,
)
from omeda_async._operation import Response, finds_nothing, names_the_absent
from omeda_async.errors import BadRequest, NotFound
from omeda_async.providers._responses import api_error
from omeda_async.sandbox import Sandbox

IDS = [f"x{number}" for number in range(200)]


@pytest.mark.parametrize("operation", ["deployments", "campaigns", "transactions"])
@pytest.mark.parametrize("path", ["/wrong", "/webservices/rest/v9", "/v1/hood/wrong", "/workspaces/wrong/secure"])
async def test_a_wrong_path_stops_a_run_after_the_first_few(operation: str, path: str) -> None:
    """Nobody is rejected for it, and the cause names the setting that leads there."""
    async with Sandbox() as sandbox:
        url = sandbox.url + path
        manager = SessionManager(
            omeda=OmedaSettings(app_id=sandbox.app_id, brand=sandbox.brand, user_id=sandbox.user_id, base_url=url),
            ocamba=OcambaSettings(token=sandbox.ocamba_token, base_url=url),
            journey_manager=JourneyManagerSettings(
                base_url=url, auth=BasicAuth(sandbox.journey_manager_user, sandbox.journey_manager_password)
            ),
        )
        async with manager:
            runs: dict[str, Callable[..., BulkRun]] = {
                "deployments": manager.omeda.deployments.cancel_many,
                "campaigns": manager.ocamba.campaigns.cancel_many,
                "transactions": manager.journey_manager.transactions.cancel_many,
            }
            run = runs[operation](IDS)
            report = await run
        assert run.stopped_by is not None
        if isinstance(run.stopped_by, NotFound):  # where the path is another provider's, credentials are refused
            assert "check base_url and its path" in run.stopped_by.message
        assert OutcomeStatus.REJECTED not in report.counts
        assert report.counts[OutcomeStatus.NOT_SENT] >= 180


@pytest.mark.parametrize(
    ("messages", "of_the_url"),
    [
        ((), True),
        (("The requested resource was not found.",), True),
        (("Not Found", "No static resource for this path"), True),
        (("404 - page not found",), True),
        (("Could not find deployment matching track Id FOO1.",), False),
        (("Not found.", "The requested campaign was not found."), False),
    ],
)
def test_words_that_name_nothing_are_no_word_of_a_record(messages: tuple[str, ...], of_the_url: bool) -> None:
    """A 404 that speaks of resources, pages and URLs only may be everyone's."""
    error = NotFound("x", status=404, messages=messages)
    assert (finds_nothing(error), names_the_absent(error)) == (of_the_url, bool(messages))
    assert not finds_nothing(BadRequest("x", status=400))


@pytest.mark.parametrize(("status", "says_so"), [(404, True), (405, True), (400, False)])
@pytest.mark.parametrize("body", [b"", b"<html><title>404</title></html>"])
def test_what_no_url_leads_to_names_base_url(status: int, says_so: bool, body: bytes) -> None:
    """Alone or in a run, and also as its text and its arguments."""
    error = api_error(Response(status=status, headers={}, body=body))
    assert ("check base_url and its path" in error.message) is says_so
    assert error.args == (error.message,)


def test_a_404_in_words_of_its_own_names_no_setting() -> None:
    """It is about what was asked for."""
    error = api_error(Response(status=404, headers={}, body=b""), messages=("The campaign was not found.",))
    assert error.message == "The campaign was not found."
