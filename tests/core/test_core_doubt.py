"""
A page instead of an answer, and then a certain failure: the doubt about the first attempt stays.
"""

from typing import Any

import pytest

from omeda_async import OutcomeStatus
from omeda_async._auth import session
from tests.core.scripted import TRANSACTION_CANCEL, account, answer, finished, transaction, unsent
from tests.core.test_core_credentials import HTML, LOGIN_PAGE, Tokens

D = OutcomeStatus


@pytest.mark.parametrize(
    ("second", "status"),
    [
        ([unsent(), unsent(), transaction("Saved")], D.FAILED),
        ([unsent(), unsent(), transaction("Abandoned")], D.ALREADY_DONE),
        ([unsent(), unsent(), answer(200, {"result": []})], D.UNKNOWN),
        ([LOGIN_PAGE, transaction("Abandoned")], D.ALREADY_DONE),
        ([LOGIN_PAGE, LOGIN_PAGE], D.UNKNOWN),
        ([finished(), transaction("Abandoned")], D.ALREADY_DONE),
        ([TRANSACTION_CANCEL.done], D.DONE),
    ],
    ids=["saved", "abandoned", "no row", "login page, abandoned", "login pages", "finished, abandoned", "done"],
)
async def test_a_page_stays_in_doubt_when_the_repeat_fails_for_certain(second: Any, status: OutcomeStatus) -> None:
    """The new login does not make the first attempt certain."""
    owner, transport = account(HTML, *second, credentials=session(Tokens("abcdef1", "abcdef2").headers), attempts=2)
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, transport.script) == (status, [])


async def test_a_page_stays_in_doubt_when_the_login_fails() -> None:
    """Nothing more can be asked: unknown."""
    owner, _ = account(HTML, credentials=session(Tokens("abcdef1", ValueError("x")).headers))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, result.error is not None and result.error.sent) == (D.UNKNOWN, True)
