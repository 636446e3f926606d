"""What Omeda's deployments are checked for, how they go out, and how they are settled."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import orjson
import pytest

from omeda_async._operation import Verdict
from omeda_async.errors import InvalidRecord, NotFound
from omeda_async.providers.omeda import _operations as wire
from omeda_async.providers.omeda._requests import (
    CancelDeployment,
    CreateDeployment,
    LookupDeployment,
    SearchDeployments,
    UpdateDeployment,
)
from omeda_async.providers.omeda.models import (
    Deployment,
    DeploymentReceipt,
    DeploymentSearch,
    DeploymentStatus,
    DeploymentUpdate,
    Tester,
)

NOW = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
DATE = datetime(2026, 2, 1, 18, 30, tzinfo=UTC)
TESTER = Tester(first_name="John", last_name="Doe", email_address="john@doe.com")


def _deployment(**changes: Any) -> Deployment:
    fields: dict[str, Any] = {
        "deployment_name": "News",
        "deployment_date": DATE,
        "deployment_type_id": 124,
        "owner_user_id": "omailuser1",
        "track_opens": True,
        "track_links": False,
    }
    return Deployment(**(fields | changes))


def _create(**changes: Any) -> CreateDeployment:
    return CreateDeployment(brand="FOO", deployment=_deployment(**changes), now=NOW)


def _body(params: CreateDeployment) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(wire.CREATE.build(params).body or b"")
    return body


def test_sends_what_is_required_and_nothing_that_is_unset() -> None:
    """Flags are 0 or 1, the date is in US Central, what is None stays away."""
    assert _body(_create()) == {
        "DeploymentName": "News",
        "DeploymentDate": "2026-02-01 12:30",
        "DeploymentTypeId": 124,
        "OwnerUserId": "omailuser1",
        "TrackOpens": 1,
        "TrackLinks": 0,
        "Splits": 1,
    }


def test_an_update_sends_only_what_is_given() -> None:
    """The track id and the three required fields, and an empty list of testers where one is given."""
    update = DeploymentUpdate(owner_user_id="u", track_opens=False, track_links=True, testers=[])
    request = wire.UPDATE.build(UpdateDeployment(brand="FOO", track_id="F1", update=update, now=NOW))
    assert request.method == "PUT"
    assert orjson.loads(request.body or b"") == {
        "TrackId": "F1",
        "OwnerUserId": "u",
        "TrackOpens": 0,
        "TrackLinks": 1,
        "Testers": [],
    }


def test_testers_may_come_from_any_iterable() -> None:
    """A generator of testers is read once, when the model is made."""
    body = _body(_create(testers=(one for one in [attrs.evolve(TESTER, report_recipient=False)])))
    assert body["Testers"] == [
        {"FirstName": "John", "LastName": "Doe", "EmailAddress": "john@doe.com", "ReportRecipient": 0}
    ]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("deployment_name", "", "is empty"),
        ("deployment_name", "x" * 81, "at most 80"),
        ("deployment_name", None, "must be a string"),
        ("deployment_type_id", "124", "must be an integer"),
        ("deployment_type_id", True, "must be an integer"),
        ("deployment_type_id", 2**63, "64-bit"),
        ("owner_user_id", "", "is empty"),
        ("owner_user_id", None, "must be a string"),
        ("campaign_id", "x" * 101, "at most 100"),
        ("campaign_id", 5, "must be a string"),
        ("splits", 2, "allows 1 only"),
        ("splits", True, "must be an integer"),
        ("track_opens", 1, "must be True or False"),
        ("track_links", None, "must be True or False"),
        ("reload_onq_query_before_final_deployment", 0, "must be True or False"),
        ("final_approver_user_id", " ", "is empty"),
        ("notes", 5, "must be a string"),
        ("notes", "\ud800", "surrogate"),
        ("billing_category_code", "x" * 9, "at most 8"),
        ("testers", "john@doe.com", "must be a list of Tester"),
        ("testers", 5, "must be a list of Tester"),
        ("testers[0]", ["john@doe.com"], "must be a Tester"),
        ("testers[0].first_name", [attrs.evolve(TESTER, first_name="x" * 81)], "at most 80"),
        ("testers[0].last_name", [attrs.evolve(TESTER, last_name="")], "is empty"),
        ("testers[0].email_address", [attrs.evolve(TESTER, email_address="john")], "no e-mail address"),
        ("testers[0].email_address", [attrs.evolve(TESTER, email_address="a@" + "b" * 254)], "at most 255"),
        ("testers[0].report_recipient", [Tester(**(attrs.asdict(TESTER) | {"report_recipient": 1}))], "True or False"),
        ("testers[1].email_address", [TESTER, attrs.evolve(TESTER, email_address="JOHN@doe.com")], "of their own"),
        ("deployment_date", "2026-02-01 12:30", "must be a datetime"),
        ("deployment_date", datetime(2026, 2, 1), "no time zone"),  # noqa: DTZ001 naive on purpose
        ("deployment_date", NOW, "in the future"),
        ("deployment_date", NOW - timedelta(days=1), "in the future"),
        ("deployment_date", NOW + timedelta(seconds=59), "in the future"),
        ("deployment_date", datetime(2026, 11, 1, 6, 30, tzinfo=UTC), "twice"),
        ("deployment_date", datetime(2026, 11, 1, 7, 30, tzinfo=UTC), "twice"),
        ("deployment_date", datetime.max.replace(tzinfo=timezone(timedelta(hours=-9))), "range"),
    ],
)
def test_a_field_that_cannot_be_sent_is_named_with_its_reason(field: str, value: object, reason: str) -> None:
    """Making the model never fails; building its request does, naming the field."""
    params = _create(**{field.partition("[")[0]: value})
    with pytest.raises(InvalidRecord) as caught:
        wire.CREATE.build(params)
    assert caught.value.field == field
    assert reason in caught.value.reason
    assert caught.value.sent is False


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"use_content_recommendation": True}, "content_recommendation_behavior_id"),
        (
            {"use_content_recommendation": True, "content_recommendation_behavior_id": 1},
            "use_images_in_recommendation",
        ),
        (
            {
                "use_content_recommendation": True,
                "content_recommendation_behavior_id": 1,
                "use_images_in_recommendation": False,
            },
            "number_of_recommendations",
        ),
        ({"number_of_recommendations": 3}, "use_content_recommendation"),
        ({"use_content_recommendation": True, "number_of_recommendations": 11}, "number_of_recommendations"),
        ({"use_content_recommendation": True, "number_of_recommendations": 0}, "number_of_recommendations"),
    ],
)
def test_content_recommendation_fields_come_together(changes: dict[str, Any], field: str) -> None:
    """Whoever uses recommendations says which, how many, and whether with images."""
    with pytest.raises(InvalidRecord) as caught:
        wire.CREATE.build(_create(**changes))
    assert caught.value.field == field


def test_no_recommendations_need_no_more_fields() -> None:
    """A plain no is sent as it is."""
    assert _body(_create(use_content_recommendation=False))["UseContentRecommendation"] == 0


def test_a_campaign_id_between_the_two_documented_lengths_is_let_through() -> None:
    """One document says 50, a newer one 100: what may be right is not refused here."""
    assert len(_body(_create(campaign_id="x" * 100))["CampaignId"]) == 100


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 7, 1, 0, 0, tzinfo=UTC), "2026-06-30 19:00"),
        (datetime(2026, 3, 8, 7, 59, tzinfo=UTC), "2026-03-08 01:59"),
        (datetime(2026, 3, 8, 8, 0, tzinfo=UTC), "2026-03-08 03:00"),
        (datetime(2026, 11, 1, 5, 59, tzinfo=UTC), "2026-11-01 00:59"),
        (datetime(2026, 11, 1, 8, 0, tzinfo=UTC), "2026-11-01 02:00"),
        (datetime(2026, 2, 1, 18, 30, 59, 999999, tzinfo=UTC), "2026-02-01 12:30"),
        (datetime(2026, 2, 1, 18, 30, tzinfo=timezone(timedelta(hours=9))), "2026-02-01 03:30"),
        (NOW + timedelta(minutes=1), "2026-01-10 06:01"),
    ],
)
def test_a_date_goes_out_in_us_central_time(moment: datetime, expected: str) -> None:
    """Whatever its zone, in summer and winter time, without its seconds."""
    assert _body(_create(deployment_date=moment))["DeploymentDate"] == expected


@pytest.mark.parametrize(
    ("brand", "path"),
    [("FOO", "FOO"), ("a/b", "a%2Fb"), ("B B", "B%20B"), ("*", "%2A")],
)
def test_the_path_keeps_its_star_and_escapes_the_brand(brand: str, path: str) -> None:
    """The URL ends in a literal ``/*``; what is put into it is one segment each."""
    base = f"/webservices/rest/brand/{path}/omail/deployment"
    create = wire.CREATE.build(CreateDeployment(brand=brand, deployment=_deployment(), now=NOW))
    cancel = wire.CANCEL.build(CancelDeployment(brand=brand, track_id="F/1", user_id="u"))
    lookup = wire.LOOKUP.build(LookupDeployment(brand=brand, track_id="F/1?"))
    search = wire.SEARCH.build(SearchDeployments(brand=brand, search=DeploymentSearch()))
    assert create.path == f"{base}/*"
    assert cancel.path == f"{base}/cancel/*"
    assert lookup.path == f"{base}/lookup/F%2F1%3F/*"
    assert search.path == f"{base}/search/*"
    assert (lookup.method, lookup.body) == ("GET", None)
    assert orjson.loads(search.body or b"") == {}


@pytest.mark.parametrize("track_id", ["", ".", "..", "F\n", None, 5.0])
def test_a_track_id_that_fits_no_path_is_refused(track_id: object) -> None:
    """Empty ids, directions, control characters and other types never leave."""
    with pytest.raises(InvalidRecord) as caught:
        wire.LOOKUP.build(LookupDeployment(brand="FOO", track_id=track_id))  # type: ignore[arg-type] # on purpose
    assert caught.value.field == "track_id"


@pytest.mark.parametrize(
    ("track_id", "user_id", "field"), [("", "u", "track_id"), ("F", None, "user_id"), ("F", "", "user_id")]
)
def test_a_cancel_needs_both_its_ids(track_id: str, user_id: str | None, field: str) -> None:
    """A missing user id says where to give it."""
    with pytest.raises(InvalidRecord) as caught:
        wire.CANCEL.build(CancelDeployment(brand="FOO", track_id=track_id, user_id=user_id))
    assert caught.value.field == field
    if user_id is None:
        assert "OmedaSettings" in caught.value.reason


def test_an_update_needs_its_track_id() -> None:
    """The track id names what is updated."""
    update = DeploymentUpdate(owner_user_id="u", track_opens=True, track_links=True)
    with pytest.raises(InvalidRecord) as caught:
        wire.UPDATE.build(UpdateDeployment(brand="FOO", track_id="", update=update, now=NOW))
    assert caught.value.field == "track_id"


def test_an_update_is_no_create() -> None:
    """Each takes its own model."""
    update = DeploymentUpdate(owner_user_id="u", track_opens=True, track_links=True)
    with pytest.raises(InvalidRecord, match="must be a Deployment, not DeploymentUpdate"):
        wire.CREATE.build(CreateDeployment(brand="FOO", deployment=update, now=NOW))  # type: ignore[arg-type] # on purpose
    with pytest.raises(InvalidRecord, match="must be a DeploymentUpdate, not Deployment"):
        wire.UPDATE.build(UpdateDeployment(brand="F", track_id="F1", update=_deployment(), now=NOW))  # type: ignore[arg-type] # on purpose


def test_a_search_sends_what_is_asked_for() -> None:
    """Texts, dates in US Central, statuses and a limit."""
    search = DeploymentSearch(
        deployment_name="n", deployment_date_start=DATE, statuses=["SENT"], num_results=200, type=5
    )
    request = wire.SEARCH.build(SearchDeployments(brand="FOO", search=search))
    assert orjson.loads(request.body or b"") == {
        "DeploymentName": "n",
        "DeploymentDateStart": "2026-02-01 12:30",
        "Statuses": ["SENT"],
        "NumResults": 200,
        "Type": 5,
    }


@pytest.mark.parametrize(
    ("search", "field"),
    [
        (DeploymentSearch(num_results=0), "num_results"),
        (DeploymentSearch(num_results=201), "num_results"),
        (DeploymentSearch(num_results=True), "num_results"),
        (DeploymentSearch(statuses="SENT"), "statuses"),
        (DeploymentSearch(statuses=[""]), "statuses"),
        (DeploymentSearch(deployment_date_end=datetime(2026, 1, 1)), "deployment_date_end"),  # noqa: DTZ001 on purpose
        (DeploymentSearch(deployment_name=5), "deployment_name"),  # type: ignore[arg-type] # what a caller may do
    ],
)
def test_a_search_that_makes_no_sense_is_refused(search: DeploymentSearch, field: str) -> None:
    """The field at fault is named."""
    with pytest.raises(InvalidRecord) as caught:
        wire.SEARCH.build(SearchDeployments(brand="FOO", search=search))
    assert caught.value.field == field


CANCEL = CancelDeployment(brand="FOO", track_id="F1", user_id="u")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("Cancelled", Verdict.DONE),
        ("CANCELED", Verdict.DONE),
        ("Sent", Verdict.TOO_LATE),
        ("Sending", Verdict.TOO_LATE),
        ("New", Verdict.NOT_DONE),
        ("Scheduled", Verdict.NOT_DONE),
        ("Unscheduling", Verdict.NOT_DONE),
        ("Not Accepted", Verdict.NOT_DONE),
        ("Cancelling", Verdict.UNDECIDED),
        (None, Verdict.UNDECIDED),
    ],
)
def test_a_look_up_settles_a_cancel(status: str | None, verdict: Verdict) -> None:
    """Cancelled is done, sent or sending is too late, what is on its way to either is undecided."""
    settling = wire.CANCEL.verification
    assert settling is not None
    assert settling.question(CANCEL) == LookupDeployment(brand="FOO", track_id="F1")
    assert settling.judge(CANCEL, DeploymentStatus(track_id="F1", status=status)) is verdict


def test_a_deployment_that_is_not_found_settles_nothing() -> None:
    """A look-up may be late: not found is no proof."""
    settling = wire.CANCEL.verification
    assert settling is not None
    assert settling.judge(CANCEL, NotFound("none")) is Verdict.UNDECIDED


def _row(**changes: Any) -> DeploymentStatus:
    fields: dict[str, Any] = {
        "track_id": "F1",
        "deployment_name": "News",
        "owner_user_id": "OMAILUSER1",
        "deployment_type_id": 124,
        "created_date": NOW + timedelta(seconds=3),
        "url": "u",
    }
    return DeploymentStatus(**(fields | changes))


@pytest.mark.parametrize(
    ("rows", "candidate", "verdict"),
    [
        ((_row(),), "F1", Verdict.UNDECIDED),
        ((_row(deployment_date=DATE),), "F1", Verdict.DONE),
        ((_row(created_date=None, deployment_date=DATE),), "F1", Verdict.DONE),
        ((_row(), _row(track_id="F2", deployment_name="News 2")), "F1", Verdict.UNDECIDED),
        ((_row(deployment_date=DATE), _row(track_id="F2", created_date=NOW - timedelta(days=7))), "F1", Verdict.DONE),
        ((), None, Verdict.UNDECIDED),
        ((_row(), _row(track_id="F2")), None, Verdict.UNDECIDED),
        ((_row(created_date=NOW - timedelta(days=7)),), None, Verdict.UNDECIDED),
        ((_row(deployment_date=DATE + timedelta(days=7)),), None, Verdict.UNDECIDED),
        ((_row(owner_user_id="other"),), None, Verdict.UNDECIDED),
        ((_row(deployment_type_id=5),), None, Verdict.UNDECIDED),
        ((_row(track_id=None, deployment_date=DATE),), None, Verdict.UNDECIDED),
        (NotFound("none"), None, Verdict.UNDECIDED),
    ],
)
def test_a_search_settles_a_create_only_by_one_sure_match(
    rows: object, candidate: str | None, verdict: Verdict
) -> None:
    """The same name may be last week's: only one that can be no other is ours, and without its date it is looked up."""
    settling = wire.CREATE.verification
    assert settling is not None
    learned = settling.first[0].learn(_create(), rows)
    assert settling.known(learned) is verdict
    if candidate is None:
        with pytest.raises(InvalidRecord):
            settling.question(learned)
    else:
        assert settling.question(learned) == LookupDeployment(brand="FOO", track_id=candidate)


def test_a_create_is_searched_by_name_and_owner() -> None:
    """The question is about what was sent; its receipt, once settled, names the deployment found."""
    settling = wire.CREATE.verification
    assert settling is not None
    search = settling.first[0].question(_create()).search
    assert (search.deployment_name, search.entered_by_or_assigned_to) == ("News", "omailuser1")
    assert wire.CREATE.settled is not None
    learned = settling.first[0].learn(_create(), (_row(),))
    assert wire.CREATE.settled(learned, None) == DeploymentReceipt("F1", "u", settled=True)
    assert wire.CREATE.settled(_create(), None) == DeploymentReceipt(settled=True)
    assert wire.CREATE.idempotent is False


def test_a_settled_cancel_or_update_names_its_deployment() -> None:
    """The receipt of what was settled says so."""
    assert wire.CANCEL.settled is not None
    found = DeploymentStatus(track_id="F1", url="u")
    assert wire.CANCEL.settled(CANCEL, found) == DeploymentReceipt("F1", "u", settled=True)
    assert wire.CANCEL.settled(CANCEL, None) == DeploymentReceipt("F1", settled=True)


def test_no_model_shows_an_address() -> None:
    """Addresses are masked in every repr, also where they stand in free text."""
    deployment = _deployment(testers=[TESTER], notes="ask john@doe.com", owner_user_id="john@doe.com")
    shown = repr(deployment) + repr(_create(testers=[TESTER]))
    assert "j***@doe.com" in shown
    assert "john@doe.com" not in shown
