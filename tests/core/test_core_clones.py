"""A clone whose answer was lost: its source is looked up, and only what can be no other deployment is taken for it."""

from collections.abc import Callable
from typing import Any

import pytest

from omeda_async import OutcomeStatus, errors
from omeda_async.events import Settled
from tests.core.scripted import DEPLOYMENT_CLONE, Reply, account, answer, lost, omeda_error, unsent

# As Omeda's pages show them: a look-up with the date that was asked for, a search without.
SOURCE = {
    "TrackId": "FOO6",
    "DeploymentName": "Weekly",
    "OwnerUserId": "omailuser1",
    "RequestedDate": "2030-01-01 06:00",
}
ROW = {
    "TrackId": "FOO7",
    "DeploymentName": "Copy of Weekly",
    "Owner": "omailuser1",
    "Status": "New",
    "DeploymentTypeId": 124,
    "CreatedDate": "2029-12-31 18:00:01",
    "Url": "u",
}
CLONED = {
    "TrackId": "FOO7",
    "DeploymentName": "Copy of Weekly",
    "OwnerUserId": "omailuser1",
    "Status": "New",
    "RequestedDate": "2031-01-01 06:00:00",
}
DATED = {**ROW, "DeploymentDate": "2031-01-01 06:00"}
ITSELF = {**DATED, "TrackId": "FOO6", "DeploymentName": "Weekly"}
NOT_THERE = omeda_error(404, "Could not find deployment matching track Id FOO7.")


def _search(*rows: dict[str, Any]) -> Reply:
    return answer(200, {"Deployments": list(rows)})


async def _settled(*script: Reply) -> tuple[Any, list[str]]:
    """Lose the answer to a clone, and give what became of it and the requests after it."""
    owner, transport = account(lost(), *script)
    result = await DEPLOYMENT_CLONE.run(owner)
    assert not transport.script
    return result, [one.path.rsplit("/deployment/", 1)[1] for one in transport.sent[1:]]


@pytest.mark.parametrize("name", ["Copy of Weekly", "Weekly", "Weekly Copy of", "Weekly Copy of ", "WeeklyCopy of "])
async def test_the_one_other_deployment_of_its_name_owner_and_date_is_it(name: str) -> None:
    """Omeda's page says that "Copy of " is added to the name; the source itself, even of that date, is not it."""
    named = {"DeploymentName": name}
    result, asked = await _settled(answer(200, SOURCE), _search(ITSELF, ROW | named), answer(200, CLONED | named))
    assert asked == ["lookup/FOO6/*", "search/*", "lookup/FOO7/*"]
    assert (result.status, result.attempts) == (OutcomeStatus.ALREADY_DONE, 4)
    assert (result.receipt.track_id, result.receipt.url, result.receipt.settled) == ("FOO7", "u", True)


NAMED = {
    "as it is": lambda name: name,
    "before": lambda name: f"Copy of {name}",
    "before, then cut": lambda name: f"Copy of {name}"[:80],
    "behind": lambda name: f"{name} Copy of",
    "behind, then cut": lambda name: f"{name} Copy of "[:80],
    "cut, then behind": lambda name: f"{name[:72]}Copy of",
    "cut, then behind, apart": lambda name: f"{name[:72]} Copy of",
}


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize("length", range(71, 81))
async def test_a_long_name_may_be_cut_on_either_side(named: Callable[[str], str], length: int) -> None:
    """Omeda's page says nothing of names of more than 80 characters: whatever is cut, and where, it is it."""
    name = ("Weekly news of all that has been said and done in the whole wide world, " * 2)[:length].strip()
    source, clone = {"DeploymentName": name}, {"DeploymentName": named(name)}
    result, asked = await _settled(answer(200, SOURCE | source), _search(ROW | clone), answer(200, CLONED | clone))
    assert asked == ["lookup/FOO6/*", "search/*", "lookup/FOO7/*"]
    assert (result.status, result.receipt.track_id) == (OutcomeStatus.ALREADY_DONE, "FOO7")


@pytest.mark.parametrize("length", range(73, 81))
async def test_a_long_name_that_is_cut_too_far_is_another_ones(length: int) -> None:
    """Other deployments begin alike."""
    name = "N" * length
    rows = [ROW | {"DeploymentName": other} for other in (f"Copy of {name[:71]}", f"{name[:71]}Copy of", name[:72])]
    result, _ = await _settled(answer(200, SOURCE | {"DeploymentName": name}), _search(*rows))
    assert (result.status, type(result.error)) == (OutcomeStatus.UNKNOWN, errors.AnswerLost)


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (ITSELF,),
        (ROW, {**ROW, "TrackId": "FOO8"}),
        ({**ROW, "DeploymentDate": "2031-01-08 06:00"},),
        ({**ROW, "CreatedDate": "2029-12-31 17:54:59"},),
        ({**ROW, "DeploymentName": "Copy of Weekly 2"},),
        ({**ROW, "Owner": "somebody else"},),
        ({**ROW, "TrackId": None},),
    ],
    ids=["none", "the source", "two", "another date", "an older one", "another name", "another owner", "no track id"],
)
async def test_a_search_that_shows_no_one_candidate_settles_nothing(rows: tuple[dict[str, Any], ...]) -> None:
    """None proves nothing, several neither, and what cannot be it is not looked at."""
    result, asked = await _settled(answer(200, SOURCE), _search(*rows))
    assert asked == ["lookup/FOO6/*", "search/*"]
    assert (result.status, type(result.error), result.error.sent) == (OutcomeStatus.UNKNOWN, errors.AnswerLost, True)


@pytest.mark.parametrize(
    ("row", "reply"),
    [
        (ROW, answer(200, {**CLONED, "RequestedDate": "2031-01-08 06:00:00"})),
        (ROW, answer(200, {**CLONED, "DeploymentDate": "2031-01-01 18:00"})),
        (ROW, answer(200, {**CLONED, "RequestedDate": None})),
        (ROW, answer(200, {**CLONED, "OwnerUserId": "somebody else"})),
        (ROW, NOT_THERE),
        (ROW, omeda_error(403, "The AppId submitted is forbidden access.")),
    ],
    ids=["the clone before", "another date", "no date", "another owner", "not found", "forbidden"],
)
async def test_a_candidate_that_may_be_another_deployment_is_not_taken_for_it(
    row: dict[str, Any], reply: Reply
) -> None:
    """One deployment is cloned for several dates in a row: only the date tells the clones apart."""
    result, _ = await _settled(answer(200, SOURCE), _search(row), reply)
    assert (result.status, type(result.error), result.error.sent) == (OutcomeStatus.UNKNOWN, errors.AnswerLost, True)


async def test_look_ups_that_show_another_clone_settle_nothing() -> None:
    """They are answers to somebody else."""
    foreign = answer(200, {**CLONED, "TrackId": "FOO9"})
    result, _ = await _settled(answer(200, SOURCE), _search(ROW), *[foreign] * 5)
    assert (result.status, type(result.error), result.error.sent) == (OutcomeStatus.UNKNOWN, errors.AnswerLost, True)


async def test_look_ups_that_show_another_source_are_no_clue_to_the_clone() -> None:
    """What was cloned of that one is somebody else's: it is asked again, as long as there are attempts."""
    result, asked = await _settled(*[answer(200, {**SOURCE, "TrackId": "FOO2"})] * 5)
    assert (result.status, asked) == (OutcomeStatus.UNKNOWN, ["lookup/FOO6/*"] * 5)


async def test_a_candidate_whose_date_the_search_shows_is_not_looked_up() -> None:
    """There is nothing more to learn of it."""
    result, asked = await _settled(answer(200, SOURCE), _search(DATED))
    assert asked == ["lookup/FOO6/*", "search/*"]
    assert (result.status, result.receipt.track_id) == (OutcomeStatus.ALREADY_DONE, "FOO7")


@pytest.mark.parametrize(
    "reply",
    [
        omeda_error(404, "Could not find deployment matching track Id FOO6."),
        omeda_error(403, "The AppId submitted is forbidden access."),
        answer(200, {**SOURCE, "DeploymentName": None}),
        answer(200, {**SOURCE, "OwnerUserId": None}),
    ],
    ids=["not found", "forbidden", "no name", "no owner"],
)
async def test_without_its_source_nothing_is_searched_for(reply: Reply) -> None:
    """A search without name and owner would show anybody's deployments: the clone stays unknown."""
    heard: list[Settled] = []
    owner, transport = account(
        lost(), reply, hooks=(lambda event: heard.append(event) if isinstance(event, Settled) else None,)
    )
    result = await DEPLOYMENT_CLONE.run(owner)
    assert len(transport.sent) == 2
    assert (result.status, result.error.sent, result.attempts) == (OutcomeStatus.UNKNOWN, True, 2)
    assert [one.verdict for one in heard] == ["undecided"]


async def test_each_read_is_tried_again_as_any_read() -> None:
    """A read that fails in passing is repeated, within the same deadline."""
    script = (answer(503, text=""), answer(200, SOURCE), lost(), _search(ROW), lost(), answer(200, CLONED))
    result, asked = await _settled(*script)
    assert asked == [read for read in ("lookup/FOO6/*", "search/*", "lookup/FOO7/*") for _ in range(2)]
    assert (result.status, result.attempts) == (OutcomeStatus.ALREADY_DONE, 7)


async def test_a_clone_that_is_done_looks_nothing_up() -> None:
    """The source is of interest only where the answer was lost; what never left is sent again."""
    owner, transport = account(unsent(), DEPLOYMENT_CLONE.done)
    result = await DEPLOYMENT_CLONE.run(owner)
    assert (result.status, len(transport.sent)) == (OutcomeStatus.DONE, 2)


@pytest.mark.parametrize(
    "doubt", [answer(503, text=""), answer(500, text=""), answer(504, text=""), lost(timed_out=True)], ids=repr
)
async def test_a_clone_is_never_repeated_after_a_doubt(doubt: Reply) -> None:
    """Also not after a 503, which may come from a proxy that had passed it on."""
    owner, transport = account(doubt, answer(200, SOURCE), _search())
    result = await DEPLOYMENT_CLONE.run(owner)
    assert [one.path.rsplit("/", 2)[1] for one in transport.sent] == ["clone", "FOO6", "search"]
    assert (result.status, result.error.sent) == (OutcomeStatus.UNKNOWN, True)
