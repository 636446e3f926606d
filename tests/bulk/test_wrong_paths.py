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
from omeda_async._operation import finds_nothing, names_the_absent
from omeda_async.errors import BadRequest, NotFound
from omeda_async.sandbox import Sandbox

IDS = [f"x{number}" for number in range(200)]


@pytest.mark.parametrize("operation", ["deployments", "campaigns", "transactions"])
@pytest.mark.parametrize("path", ["/wrong", "/webservices/rest/v9", "/v1/hood/wrong", "/workspaces/wrong/secure"])
async def test_a_wrong_path_stops_a_run_after_the_first_few(operation: str, path: str) -> None:
    """Nobody is rejected for it, and it is said where it leads."""
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
