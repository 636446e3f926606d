"""Omeda's dates on a system without time zone data."""

import datetime as dt
import zoneinfo

import pytest

from omeda_async import ConfigurationError
from omeda_async.providers.omeda import _dates


@pytest.fixture
def no_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(key: str) -> zoneinfo.ZoneInfo:
        raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(_dates, "ZoneInfo", missing)
    _dates.central.cache_clear()


@pytest.mark.usefixtures("no_zones")
def test_a_system_without_zones_is_told_what_to_install() -> None:
    """No date goes out in a wrong zone: the error names the package that is missing."""
    with pytest.raises(ConfigurationError, match="install the package tzdata"):
        _dates.to_central(dt.datetime(2030, 1, 1, tzinfo=dt.UTC))


@pytest.mark.usefixtures("no_zones")
def test_a_date_of_an_answer_is_left_out_without_zones() -> None:
    """An answer is read all the same: a date that cannot be placed is None, and nothing is raised."""
    assert _dates.read_date("2030-01-01 12:00") is None
