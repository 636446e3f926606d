"""A create whose answer was lost, and what a search shows: only what can be no other deployment is taken for it."""

from typing import Any

import pytest

from omeda_async import OutcomeStatus
from tests.core.scripted import (
    DEPLOYMENT_CREATE,
    DOUBTS,
    NEW_DEPLOYMENT,
    Reply,
    account,
    answer,
    lost,
    omeda_error,
    search,
    unread,
)

D = OutcomeStatus

ROW = {
    "TrackId": "FOO7",
    "DeploymentName": NEW_DEPLOYMENT.deployment_name,
    "OwnerUserId": NEW_DEPLOYMENT.owner_user_id,
    "DeploymentDate": "2031-01-01 06:00",
}
UNDATED = {name: value for name, value in ROW.items() if name != "DeploymentDate"}


async def settled(*rows: dict[str, Any], shown: Reply | None = None) -> OutcomeStatus:
    """Lose the answer to a create, show rows to the search and perhaps a look-up; nothing is sent again."""
    looked_up = () if shown is None else (shown,)
    owner, transport = account(lost(), answer(200, {"Deployments": list(rows)}), *looked_up)
    result = await DEPLOYMENT_CREATE.run(owner)
    assert len(transport.sent) == 2 + len(looked_up)
    status: OutcomeStatus = result.status
    return status


async def test_the_one_deployment_of_that_name_owner_and_date_is_it() -> None:
    """Were it not found, the rows below would prove nothing."""
    assert await settled(ROW) is OutcomeStatus.ALREADY_DONE
    assert await settled(ROW, {**ROW, "TrackId": "FOO6", "DeploymentDate": "2030-12-25 06:00"}) is (
        OutcomeStatus.ALREADY_DONE
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"DeploymentDate": "2030-12-25 06:00"},
        {"OwnerUserId": "somebody else"},
        {"DeploymentName": "another"},
        {"TrackId": None},
        {"CreatedDate": "2029-12-25 06:00"},
    ],
    ids=", ".join,
)
async def test_what_may_be_another_deployment_is_not_taken_for_it(changed: dict[str, Any]) -> None:
    """A newsletter has the same name every week: another date, owner or name, or an older row proves nothing."""
    row = {name: value for name, value in {**ROW, **changed}.items() if value is not None}
    assert await settled(row) is OutcomeStatus.UNKNOWN


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (answer(200, UNDATED | {"RequestedDate": "2031-01-01 06:00"}), OutcomeStatus.ALREADY_DONE),
        (answer(200, UNDATED | {"DeploymentDate": "2031-01-01 06:00"}), OutcomeStatus.ALREADY_DONE),
        (answer(200, UNDATED | {"RequestedDate": "2031-01-08 06:00"}), OutcomeStatus.UNKNOWN),
        (answer(200, UNDATED), OutcomeStatus.UNKNOWN),
        (omeda_error(404, "Could not find deployment matching track Id FOO7."), OutcomeStatus.UNKNOWN),
    ],
    ids=["that date", "that date again", "another date", "no date", "not found"],
)
async def test_a_candidate_without_a_date_is_looked_up(shown: Reply, status: OutcomeStatus) -> None:
    """Omeda's search need not show it, and the one created a minute before, for another date, is alike in all else."""
    assert await settled(UNDATED | {"CreatedDate": "2029-12-31 18:00:01"}, shown=shown) is status


@pytest.mark.parametrize("doubt", DOUBTS, ids=repr)
async def test_a_create_is_never_repeated_after_a_doubt(doubt: Reply) -> None:
    """One request, then a search: nothing found proves nothing, and the caller is told that it may exist."""
    owner, transport = account(doubt, search())
    result = await DEPLOYMENT_CREATE.run(owner)
    assert [one.path.rsplit("/", 2)[1] for one in transport.sent] == ["deployment", "search"]
    assert (result.status, result.doubtful) == (D.UNKNOWN, True)
    assert (result.error.sent, result.error.attempts) == (True, 2)


async def test_a_create_that_the_search_finds_is_done() -> None:
    """Exactly one deployment that can be no other: a receipt with its track id, marked as settled."""
    owner, transport = account(lost(), search(ROW))
    result = await DEPLOYMENT_CREATE.run(owner)
    assert (result.status, len(transport.sent)) == (D.ALREADY_DONE, 2)
    assert (result.receipt.track_id, result.receipt.settled) == ("FOO7", True)


async def test_a_create_with_two_likenesses_stays_unknown() -> None:
    """Two that fit are no answer."""
    owner, _ = account(lost(), search(ROW, {**ROW, "TrackId": "FOO8"}))
    assert (await DEPLOYMENT_CREATE.run(owner)).status is D.UNKNOWN


@pytest.mark.parametrize("refusal", [answer(503, text=""), unread(503)], ids=repr)
async def test_a_create_refused_with_503_is_searched_for_and_not_repeated(refusal: Reply) -> None:
    """A 503 may come from a proxy that had passed it on: a search tells, and a double is not risked."""
    owner, transport = account(refusal, search(ROW))
    result = await DEPLOYMENT_CREATE.run(owner)
    assert (result.status, len(transport.sent)) == (D.ALREADY_DONE, 2)
    owner, transport = account(refusal, search())
    result = await DEPLOYMENT_CREATE.run(owner)
    assert (result.status, result.error.status, len(transport.sent)) == (D.UNKNOWN, 503, 2)
    assert result.error.sent
