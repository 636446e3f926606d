"""What a 4xx means that does not speak of the record: not now, somebody stopped waiting, or a page came."""

from itertools import pairwise

import pytest

from omeda_async import OutcomeStatus, errors
from omeda_async._operation import Response
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    DEPLOYMENT_CANCEL,
    DEPLOYMENT_CLONE,
    DEPLOYMENT_CREATE,
    HARMLESS,
    OPEN,
    OPT_OUTS,
    TRANSACTION_CANCEL,
    UPDATE,
    Case,
    Reply,
    account,
    answer,
    campaign,
    deployment,
    lost,
    name_of,
    omeda_error,
    search,
    transaction,
)

D = OutcomeStatus
PASSING = (402, 407, 421, 423, 424, 425, 426, 431, 449, 451)
GAVE_UP = (408, 499)
TELLING = (401, 403, 405, 429)
CANCELS = [
    (DEPLOYMENT_CANCEL, deployment("Scheduled"), deployment("Cancelled")),
    (CAMPAIGN_CANCEL, campaign("running"), campaign("canceled")),
    (TRANSACTION_CANCEL, transaction("Saved"), transaction("Abandoned")),
]


def _page(status: int) -> Response:
    return answer(status, text="<!DOCTYPE html><html><body>No</body></html>", Content_Type="text/html")


@pytest.mark.parametrize("case", HARMLESS, ids=name_of)
@pytest.mark.parametrize("status", PASSING)
@pytest.mark.parametrize("make", [lambda status: answer(status, text=""), _page], ids=["empty", "page"])
async def test_not_now_is_tried_to_the_end_and_then_failed(case: Case, status: int, make: object) -> None:
    """It tells of the way, the account or the moment: certainly not carried out, and never the record's fault."""
    assert callable(make)
    owner, transport = account(*[make(status)] * 5)
    result = await case.run(owner)
    assert (result.status, result.error.status, result.error.sent) == (D.FAILED, status, False)
    assert (result.attempts, transport.script, len({one.path for one in transport.sent})) == (5, [], 1)


@pytest.mark.parametrize("case", [*HARMLESS, DEPLOYMENT_CREATE, DEPLOYMENT_CLONE], ids=name_of)
@pytest.mark.parametrize("status", PASSING)
async def test_not_now_is_tried_again_whatever_the_operation(case: Case, status: int) -> None:
    """After the back-off, or as long as the provider asks for."""
    owner, transport = account(answer(status, text="", Retry_After="20"), case.done)
    result = await case.run(owner)
    assert (result.status, len(transport.sent)) == (D.DONE, 2)
    assert 20 <= transport.sent[1].at <= 21


@pytest.mark.parametrize("case", [UPDATE, OPT_OUTS], ids=name_of)
@pytest.mark.parametrize("status", PASSING)
async def test_not_now_settles_no_doubt(case: Case, status: int) -> None:
    """What was lost before it may have been carried out."""
    owner, transport = account(lost(), *[answer(status, text="")] * 4)
    result = await case.run(owner)
    assert (result.status, result.error.sent, transport.script) == (D.UNKNOWN, True, [])


@pytest.mark.parametrize("status", PASSING)
async def test_words_go_before_the_status(status: int) -> None:
    """Who says what is the matter has looked at the record."""
    words = "Deployment 'FOO1' has been previously cancelled."
    owner, transport = account(omeda_error(status, words))
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (type(result.error), result.status, len(transport.sent)) == (errors.AlreadyDone, D.ALREADY_DONE, 1)


@pytest.mark.parametrize(("case", "open_", "done"), CANCELS, ids=name_of)
@pytest.mark.parametrize("status", GAVE_UP)
async def test_who_stopped_waiting_has_not_refused_the_record(
    case: Case, open_: Response, done: Response, status: int
) -> None:
    """It may have been carried out: read, and read again before it has failed; never rejected."""
    for found, expected in (([open_, open_], D.FAILED), ([done], D.ALREADY_DONE), ([open_, done], D.ALREADY_DONE)):
        owner, transport = account(answer(status, {}), *found, attempts=1)
        result = await case.run(owner)
        assert (result.status, transport.script) == (expected, [])
        assert result.error is None or not result.error.sent
    owner, _ = account(answer(status, {}), answer(403, {}), attempts=1)
    result = await case.run(owner)
    assert (result.status, result.error.status, result.error.sent) == (D.UNKNOWN, status, True)


@pytest.mark.parametrize("case", HARMLESS[:3], ids=name_of)
@pytest.mark.parametrize("status", GAVE_UP)
async def test_who_stopped_waiting_is_asked_again(case: Case, status: int) -> None:
    """As after a lost answer."""
    owner, transport = account(answer(status, text=""), case.done)
    assert ((await case.run(owner)).status, len(transport.sent)) == (D.DONE, 2)


@pytest.mark.parametrize("case", [UPDATE, OPT_OUTS], ids=name_of)
@pytest.mark.parametrize("reply", [answer(408, text=""), answer(499, text=""), answer(503, text="")], ids=repr)
async def test_where_nothing_can_be_read_it_stays_unknown(case: Case, reply: Reply) -> None:
    """It is sent again to the end, and none of the answers says what became of it."""
    owner, transport = account(*[reply] * 5)
    result = await case.run(owner)
    assert (result.status, result.error.sent, transport.script) == (D.UNKNOWN, True, [])


@pytest.mark.parametrize(("case", "open_", "done"), CANCELS, ids=name_of)
@pytest.mark.parametrize("status", [400, 404, 406, 409, 410, 411, 412, 413, 414, 415, 422, 428])
async def test_a_page_has_not_refused_the_record(case: Case, open_: Response, done: Response, status: int) -> None:
    """It is not sent again, as it would be the same; what became of it is read."""
    if (case, status) == (TRANSACTION_CANCEL, 404):
        return  # there it means a wrong URL, whoever says so
    for found, expected in (([open_, open_], D.FAILED), ([done], D.ALREADY_DONE), ([open_, done], D.ALREADY_DONE)):
        owner, transport = account(_page(status), *found)
        result = await case.run(owner)
        assert (result.status, transport.script) == (expected, [])
        assert result.error is None or (result.error.status, result.error.sent) == (status, False)
        gaps = [later.at - earlier.at for earlier, later in pairwise(transport.sent)]
        assert gaps[1:] == pytest.approx([5.01] * (len(found) - 1))
    owner, _ = account(_page(status), *[_page(status)] * 2)
    result = await case.run(owner)
    assert (result.status, result.error.sent) == (D.UNKNOWN, True)


async def test_a_page_about_a_url_that_is_nobodys_has_failed() -> None:
    """Journey Manager's 404 is no transaction's: it would meet every other record too."""
    owner, transport = account(_page(404))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, result.error.sent, len(transport.sent)) == (D.FAILED, False, 1)


@pytest.mark.parametrize("case", [UPDATE, OPT_OUTS], ids=name_of)
@pytest.mark.parametrize("status", [400, 409, 410, 422])
async def test_a_page_stays_unknown_where_nothing_can_be_read(case: Case, status: int) -> None:
    """It is not sent again either."""
    owner, transport = account(_page(status))
    result = await case.run(owner)
    assert (result.status, result.error.sent, len(transport.sent)) == (D.UNKNOWN, True, 1)


@pytest.mark.parametrize("case", [DEPLOYMENT_CREATE], ids=name_of)
@pytest.mark.parametrize("reply", [_page(400), answer(408, text=""), answer(499, text="")], ids=repr)
async def test_a_create_behind_a_page_is_searched_for(case: Case, reply: Reply) -> None:
    """It is never sent again, and not found is no proof."""
    owner, transport = account(reply, search())
    result = await case.run(owner)
    assert (result.status, result.error.sent, len(transport.sent)) == (D.UNKNOWN, True, 2)


@pytest.mark.parametrize(("case", "open_"), OPEN, ids=name_of)
@pytest.mark.parametrize("status", TELLING)
async def test_a_page_means_what_its_status_means_where_a_gateway_may_say_it(
    case: Case, open_: Response, status: int
) -> None:
    """Credentials, method, pace: certainly not carried out, and nothing is read."""
    del open_
    times = 5 if status == 429 else 1
    owner, transport = account(*[_page(status)] * times)
    result = await case.run(owner)
    assert (result.error.status, result.error.sent, transport.script) == (status, False, [])
    assert result.status is (D.REJECTED if status == 405 else D.FAILED)
