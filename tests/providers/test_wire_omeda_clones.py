"""What a clone is checked for, how it goes out, and what is asked when its answer is lost."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from omeda_async._operation import Verdict, Verification
from omeda_async.errors import InvalidRecord, NotFound
from omeda_async.providers.omeda import _operations as wire
from omeda_async.providers.omeda._requests import CloneDeployment, LookupDeployment, SearchDeployments
from omeda_async.providers.omeda.models import DeploymentReceipt, DeploymentSearch, DeploymentStatus

NOW = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
DATE = datetime(2026, 2, 1, 18, 30, 59, tzinfo=UTC)
SOURCE = DeploymentStatus(track_id="F1", deployment_name="News", owner_user_id="OmailUser1", deployment_type_id="124")


def _clone(**changes: Any) -> CloneDeployment:
    fields: dict[str, Any] = {"brand": "FOO", "track_id": "F1", "deployment_date": DATE, "now": NOW}
    return CloneDeployment(**(fields | changes))


def _row(**changes: Any) -> DeploymentStatus:
    fields: dict[str, Any] = {
        "track_id": "F2",
        "deployment_name": "Copy of News",
        "owner_user_id": "omailuser1",
        "deployment_type_id": 124,
        "deployment_date": DATE.replace(second=0),
        "url": "u",
    }
    return DeploymentStatus(**(fields | changes))


@pytest.mark.parametrize(("brand", "path"), [("FOO", "FOO"), ("a/b", "a%2Fb")])
def test_a_clone_sends_its_source_and_its_date(brand: str, path: str) -> None:
    """Nothing else: the rest is inherited. The date is in US Central, without its seconds."""
    request = wire.CLONE.build(_clone(brand=brand))
    assert (request.method, request.path) == ("POST", f"/webservices/rest/brand/{path}/omail/deployment/clone/*")
    assert request.headers == {"Content-Type": "application/json"}
    assert request.body == b'{"CloneTrackId":"F1","DeploymentDate":"2026-02-01 12:30"}'


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("track_id", "", "is empty"),
        ("track_id", None, "the cell is empty"),
        ("track_id", 5.0, "must be a string"),
        ("track_id", "F\n", "control"),
        ("brand", "", "is empty"),
        ("deployment_date", None, "must be a datetime"),
        ("deployment_date", "2026-02-01 12:30", "must be a datetime"),
        ("deployment_date", datetime(2026, 2, 1), "no time zone"),  # noqa: DTZ001 naive on purpose
        ("deployment_date", NOW, "in the future"),
        ("deployment_date", NOW + timedelta(seconds=59), "in the future"),
        ("deployment_date", datetime(2026, 11, 1, 6, 30, tzinfo=UTC), "twice"),
        ("deployment_date", datetime.max.replace(tzinfo=timezone(timedelta(hours=-9))), "range"),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_reason(field: str, value: object, reason: str) -> None:
    """The same rules as for a create."""
    with pytest.raises(InvalidRecord) as caught:
        wire.CLONE.build(_clone(**{field: value}))
    assert (caught.value.field, caught.value.sent) == (field, False)
    assert reason in caught.value.reason


def _settling() -> Verification[CloneDeployment]:
    assert wire.CLONE.idempotent is False
    assert wire.CLONE.verification is not None
    return wire.CLONE.verification


def _learned(rows: object, source: DeploymentStatus | None = SOURCE) -> CloneDeployment:
    """What is known of a clone once its source has been looked up and searched by."""
    source_first, search_next = _settling().first
    return search_next.learn(source_first.learn(_clone(), source), rows)


def test_a_lost_clone_is_searched_for_by_name_and_owner_of_its_source() -> None:
    """The source is looked up first; a part of the name finds the clone with and without what Omeda puts before it."""
    source_first, search_next = _settling().first
    assert source_first.question(_clone()) == LookupDeployment(brand="FOO", track_id="F1")
    known = source_first.learn(_clone(), SOURCE)
    assert known == _clone(source=SOURCE)
    search = DeploymentSearch(deployment_name="News", entered_by_or_assigned_to="OmailUser1")
    assert search_next.question(known) == SearchDeployments(brand="FOO", search=search)
    assert _settling().question(_learned((_row(),))) == LookupDeployment(brand="FOO", track_id="F2")


@pytest.mark.parametrize(
    "source",
    [None, attrs.evolve(SOURCE, deployment_name=None), attrs.evolve(SOURCE, owner_user_id=None)],
    ids=["none", "no name", "no owner"],
)
def test_a_clone_of_a_source_that_is_not_known_is_not_searched_for(source: DeploymentStatus | None) -> None:
    """There is nothing to ask, and nothing is taken for it."""
    with pytest.raises(InvalidRecord, match="not known"):
        _settling().first[1].question(_clone(source=source))
    assert _learned((_row(),), source).candidate is None
    assert _settling().judge(_clone(source=source, candidate=_row()), _row()) is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("rows", "candidate"),
    [
        ((_row(),), "F2"),
        ((_row(deployment_name="News", created_date=NOW - timedelta(minutes=5)),), "F2"),
        ((_row(owner_user_id=None, deployment_type_id=None, deployment_date=None),), "F2"),
        ((_row(), _row(track_id="F1", deployment_name="News")), "F2"),
        ((_row(), _row(track_id="F3", deployment_date=DATE + timedelta(days=7))), "F2"),
        ((_row(), _row(track_id="F3")), None),
        ((_row(), _row(track_id="F3", deployment_date=None)), None),
        ((_row(track_id="F1"),), None),
        ((_row(created_date=NOW - timedelta(minutes=6)),), None),
        ((_row(deployment_name="Copy of Copy of News"),), None),
        ((_row(deployment_name="Copy of New"),), None),
        ((_row(deployment_name="News of"),), None),
        ((_row(deployment_name=None),), None),
        ((_row(deployment_type_id=5),), None),
        ((_row(track_id=None),), None),
        ((), None),
        (None, None),
    ],
)
def test_only_one_row_that_may_be_the_clone_is_looked_at(rows: object, candidate: str | None) -> None:
    """Not the source, no other name, owner, type or date, none that is older; and not one of several."""
    learned = _learned(rows)
    if candidate is not None:
        assert _settling().question(learned).track_id == candidate
        return
    with pytest.raises(InvalidRecord, match="none that may be the one made, or several"):
        _settling().question(learned)


@pytest.mark.parametrize(
    ("row", "found", "verdict"),
    [
        (_row(), _row(), Verdict.DONE),
        (_row(deployment_date=None), _row(deployment_date=None, requested_date=DATE), Verdict.DONE),
        (_row(deployment_date=None), _row(requested_date=DATE - timedelta(days=7)), Verdict.DONE),
        (_row(), NotFound("none"), Verdict.UNDECIDED),
        (_row(deployment_date=None), NotFound("none"), Verdict.UNDECIDED),
        (_row(deployment_date=None), _row(deployment_date=None), Verdict.UNDECIDED),
        (_row(deployment_date=None), _row(deployment_date=DATE + timedelta(days=7)), Verdict.UNDECIDED),
        (_row(deployment_date=None), _row(requested_date=DATE, deployment_date=NOW), Verdict.UNDECIDED),
        (_row(), _row(track_id="F3"), Verdict.UNDECIDED),
        (_row(), _row(created_date=NOW - timedelta(minutes=6)), Verdict.UNDECIDED),
        (_row(), _row(deployment_name="News 2"), Verdict.UNDECIDED),
    ],
)
def test_the_candidate_is_the_clone_only_by_its_date(row: DeploymentStatus, found: object, verdict: Verdict) -> None:
    """The date has to be shown and fit, as it stands or as it was first asked for."""
    assert _settling().judge(_learned((row,)), found) is verdict


@pytest.mark.parametrize(("date", "verdict"), [(DATE, Verdict.DONE), (None, Verdict.UNDECIDED)])
def test_a_candidate_whose_row_shows_the_date_need_not_be_looked_up(date: datetime | None, verdict: Verdict) -> None:
    """What the search shows is enough where it shows all that tells."""
    assert _settling().known(_learned((_row(deployment_date=date),))) is verdict
    assert _settling().known(_clone()) is Verdict.UNDECIDED


def test_the_receipt_of_a_settled_clone_names_the_new_deployment() -> None:
    """Once settled, it names what was found; what was learned changes nothing about the request."""
    assert wire.CLONE.settled is not None
    assert wire.CLONE.settled(_learned((_row(),)), _row()) == DeploymentReceipt("F2", "u", settled=True)
    assert wire.CLONE.settled(_clone(), None) == DeploymentReceipt(settled=True)
    assert wire.CLONE.build(_learned((_row(),))).body == wire.CLONE.build(_clone()).body


LONG = "A newsletter whose name takes all the characters that there are for one, exactly"
assert len(LONG) == 80


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        (f"Copy of {LONG}", True),
        (f"Copy of {LONG}"[:80], True),
        (LONG, True),
        (f"{LONG[:72]}Copy of", True),
        (f"{LONG[:72]} Copy of", True),
        (f"Copy of {LONG[:70]}", False),
        (f"Copy of {LONG[:71]}!", False),
        (LONG[:60], False),
    ],
)
def test_a_clone_is_known_by_a_name_that_was_cut(name: str, *, is_it: bool) -> None:
    """What happens past 80 characters is nowhere said; what is searched for is in each of these names."""
    source = attrs.evolve(SOURCE, deployment_name=LONG)
    search = _settling().first[1].question(_clone(source=source)).search
    assert LONG.startswith(search.deployment_name)
    assert len(search.deployment_name) <= 72
    if is_it:
        assert search.deployment_name in name
    learned = _learned((_row(deployment_name=name),), source)
    assert (learned.candidate is not None) is is_it
