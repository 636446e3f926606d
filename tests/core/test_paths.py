"""Paths that no file can have: refused as what they are wherever a path is taken, with the option's name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omeda_async import ConfigurationError, OcambaSettings, OmedaSettings, SessionManager, outbox
from omeda_async.journal import read_not_done, read_status
from omeda_async.rows import CAMPAIGNS, RowFile
from tests.bulk.bulk_fakes import FakeWork, run_of

NO_PATHS: list[Any] = ["a\0b", "\ud800", Path("a\0b"), b"a", 5, "", None]


def _manager(path: Any) -> SessionManager:
    return SessionManager(ocamba=OcambaSettings(token="t"), share_limits=path)


TAKES: list[tuple[str, Callable[[Any], object]]] = [
    ("path must be", lambda path: RowFile.at(CAMPAIGNS, path)),
    ("journal must be", lambda path: run_of(FakeWork(), ["a"], journal="" if path is None else path)),
    ("journal must be", read_status),
    ("journal must be", lambda path: list(read_not_done(path))),
    ("an outbox must be", outbox.read_status),
    ("an outbox must be", outbox.is_outbox),
    ("share_limits must be", lambda path: _manager("" if path is None else path)),
]


@pytest.mark.parametrize("path", NO_PATHS, ids=ascii)
@pytest.mark.parametrize(("said", "take"), TAKES, ids=lambda one: one if isinstance(one, str) else "")
def test_what_can_be_no_path_is_refused_by_the_name_of_its_option(
    said: str, take: Callable[[Any], object], path: Any
) -> None:
    """Whatever it is, the error is ours."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        take(path)
    assert str(caught.value).isprintable()


async def test_an_outbox_is_refused_in_the_same_words() -> None:
    """It is made by a client."""
    async with SessionManager(omeda=OmedaSettings(app_id="a", client="c")) as manager:
        for path in NO_PATHS:
            with pytest.raises(ConfigurationError, match="an outbox must be the path of a file"):
                manager.omeda.opt_outs.outbox(path)


def test_the_home_of_nobody_is_refused() -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="share_limits begins with the home of a user"):
        _manager("~nobody-of-that-name/limits")


def test_the_place_of_a_journal_is_said_without_a_mask() -> None:
    """The form of a URL is no address."""
    with pytest.raises(ConfigurationError, match=r"postgresql://host:5432/database\?run=NAME"):
        read_status("")
