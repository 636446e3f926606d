"""
A create whose answer was lost, and what a search shows: only what can be no other deployment is taken for it.
"""

from typing import Any

import pytest

from omeda_async import OutcomeStatus
from tests.core.scripted import DEPLOYMENT_CREATE, NEW_DEPLOYMENT, account, answer, lost

ROW = {
    "TrackId": "FOO7",
    "DeploymentName": NEW_DEPLOYMENT.deployment_name,
    "OwnerUserId": NEW_DEPLOYMENT.owner_user_id,
    "DeploymentDate": "2031-01-01 06:00",
}


async def settled(*rows: dict[str, Any]) -> OutcomeStatus:
    """Lose the answer to a create, show rows to the search, and give the outcome; nothing is sent again."""
    owner, transport = account(lost(), answer(200, {"Deployments": list(rows)}))
    result = await DEPLOYMENT_CREATE.run(owner)
    assert len(transport.sent) == 2
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
        {"DeploymentDate": None},
        {"OwnerUserId": "somebody else"},
        {"DeploymentName": "another"},
        {"TrackId": None},
        {"CreatedDate": "2029-12-25 06:00"},
    ],
    ids=", ".join,
)
async def test_what_may_be_another_deployment_is_not_taken_for_it(changed: dict[str, Any]) -> None:
    """A newsletter has the same name every week: another date or none, owner, name, or an older row proves nothing."""
    row = {name: value for name, value in {**ROW, **changed}.items() if value is not None}
    assert await settled(row) is OutcomeStatus.UNKNOWN
