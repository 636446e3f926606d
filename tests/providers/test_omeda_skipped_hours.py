"""Hours that the clocks go past in a spring night are nobody's hours: no moment is made of them."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

import pytest

from omeda_async import Deployment, DeploymentSearch, DeploymentUpdate, InvalidRecord
from omeda_async.providers._cancels import item_of
from omeda_async.providers._fields import check_moment
from omeda_async.providers.omeda import _operations as wire
from omeda_async.providers.omeda._requests import (
    CancelDeployment,
    CloneDeployment,
    CreateDeployment,
    SearchDeployments,
    UpdateDeployment,
)

BEFORE = datetime(2010, 1, 1, tzinfo=UTC)
TIMES = {
    "America/Chicago": "2027-03-14 02:30",
    "America/New_York": "2027-03-14 02:00",
    "Europe/Berlin": "2027-03-28 02:59",
    "Australia/Lord_Howe": "2026-10-04 02:15",
    "Africa/Casablanca": "2026-03-22 02:30",
    "Pacific/Apia": "2011-12-30 12:00",
}
"""In Casablanca Ramadan ends; Apia had no such day at all."""


def create(when: datetime) -> None:
    wire.CREATE.build(CreateDeployment(brand="FOO", deployment=deployment(when), now=BEFORE))


def deployment(when: datetime) -> Deployment:
    return Deployment(
        deployment_name="News",
        deployment_date=when,
        deployment_type_id=124,
        owner_user_id="omailuser1",
        track_opens=True,
        track_links=False,
    )


def update(when: datetime) -> None:
    change = DeploymentUpdate(owner_user_id="me", track_opens=True, track_links=False, deployment_date=when)
    wire.UPDATE.build(UpdateDeployment(brand="FOO", track_id="F1", update=change, now=BEFORE))


def clone(when: datetime) -> None:
    wire.CLONE.build(CloneDeployment(brand="FOO", track_id="F1", deployment_date=when, now=BEFORE))


def search(when: datetime) -> None:
    wire.SEARCH.build(SearchDeployments(brand="FOO", search=DeploymentSearch(deployment_date_start=when)))


WAYS = [create, update, clone, search]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("zone", TIMES)
def test_an_hour_that_never_comes_is_refused_in_every_zone(zone: str, fold: int, way: Callable[..., None]) -> None:
    """The error names the time and the zone it was given in, and is not that of an hour that comes twice."""
    when = datetime.fromisoformat(TIMES[zone]).replace(tzinfo=ZoneInfo(zone), fold=fold)
    with pytest.raises(InvalidRecord) as caught:
        way(when)
    assert f"is {TIMES[zone]} in {zone}, a time that never comes there" in caught.value.reason
    assert "twice" not in caught.value.reason


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("zone", TIMES)
def test_the_hours_around_it_are_as_good_as_any(zone: str, way: Callable[..., None]) -> None:
    """The last minute before, and the first minute after; by another clock it is an hour like any other."""
    skipped = datetime.fromisoformat(TIMES[zone]).replace(tzinfo=ZoneInfo(zone))
    for when in (skipped - timedelta(days=1), skipped + timedelta(days=1)):
        way(when)
    way(skipped.replace(tzinfo=UTC))
    way(skipped.replace(tzinfo=timezone(timedelta(hours=-6))))


@pytest.mark.parametrize("zone", TIMES)
def test_a_cancel_is_due_at_no_such_hour_either(zone: str) -> None:
    """What is due first goes first: a time that never comes has no place in that order."""
    when = datetime.fromisoformat(TIMES[zone]).replace(tzinfo=ZoneInfo(zone))
    params = CancelDeployment(brand="FOO", track_id="F1", user_id="me")
    item = item_of(wire.CANCEL, "F1", params, key="F1", target=("F1",), due=when)
    assert isinstance(item.refusal, InvalidRecord)
    assert item.refusal.field == "scheduled_for"
    assert "a time that never comes there" in item.refusal.reason


WEEK, SECOND = timedelta(days=7), timedelta(seconds=1)


def offset_at(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def gaps(zone: ZoneInfo, first: int, last: int) -> Iterator[tuple[datetime, datetime]]:
    """Find where the clocks of a zone go forward: the first time that never comes, and the first that comes again."""
    late = datetime(first, 1, 1, tzinfo=UTC)
    while late.year < last:
        early, late = late, late + WEEK
        before, after, end = offset_at(early, zone), offset_at(late, zone), late
        while after > before and end - early > SECOND:
            middle = early + (end - early) // SECOND // 2 * SECOND
            early, end = (middle, end) if offset_at(middle, zone) == before else (early, middle)
        if after > before:
            yield (end + before).replace(tzinfo=None), (end + after).replace(tzinfo=None)


def test_the_hours_that_never_come_are_refused_in_all_zones_that_there_are() -> None:
    """From the first second of a gap to its last one, and neither the one before nor the one after."""
    found: dict[int, int] = defaultdict(int)
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        for begin, end in gaps(zone, 2010, 2013):
            found[begin.year] += 1
            for when in (begin, begin + (end - begin) / 2, end - SECOND):
                for fold in (0, 1):
                    with pytest.raises(InvalidRecord, match=f"in {name}, a time that never comes there"):
                        check_moment("deployment_date", when.replace(tzinfo=zone, fold=fold))
            for when in (begin - SECOND, end):
                assert check_moment("deployment_date", when.replace(tzinfo=zone)).replace(tzinfo=None) == when
    assert all(found[year] > 100 for year in range(2010, 2013))
