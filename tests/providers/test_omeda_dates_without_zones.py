"""Omeda's dates on a system without time zone data."""

import datetime as dt
import zoneinfo

import pytest

from omeda_async import ConfigurationError
from omeda_async._operation import Response
from omeda_async.providers.omeda import _dates
from omeda_async.providers.omeda._operations import CLONE, LOOKUP
from omeda_async.providers.omeda._requests import CloneDeployment
from omeda_async.providers.omeda.models import DeploymentStatus


@pytest.fixture
def no_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(key: str) -> zoneinfo.ZoneInfo:
        raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(_dates, "ZoneInfo", missing)
    _dates.central.cache_clear()


@pytest.mark.usefixtures("no_zones")
def test_a_system_without_zones_is_told_what_to_install() -> None:
    """No date goes out in a wrong zone: the error names the package that is missing."""
    date = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    clone = CloneDeployment(brand="FOO", track_id="F1", deployment_date=date, now=date - dt.timedelta(days=1))
    with pytest.raises(ConfigurationError, match="install the package tzdata"):
        CLONE.build(clone)


@pytest.mark.usefixtures("no_zones")
def test_a_date_of_an_answer_is_left_out_without_zones() -> None:
    """An answer is read all the same: a date that cannot be placed is None, and nothing is raised."""
    found = LOOKUP.parse(Response(200, {}, b'{"TrackId":"F1","CreatedDate":"2030-01-01 12:00"}'))
    assert isinstance(found, DeploymentStatus)
    assert (found.track_id, found.created_date) == ("F1", None)
