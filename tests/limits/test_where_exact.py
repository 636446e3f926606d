"""Where limits are shared: what is refused before anything is made, and which file an account has."""

import importlib.util
import os
import sqlite3
from pathlib import Path

import pytest

from omeda_async import ConfigurationError
from omeda_async.limits._where import check_place, check_where, lease_of, open_store
from tests.limits.fake_store import middle

ACCOUNT = ("ocamba", "api.example", 443, b"x")
NAME = "ocamba-3b21b9a1045757c55be47f66"
"""What an account is called for as long as there is this format: another name would be another budget."""


@pytest.mark.parametrize(
    ("timeout", "connect_timeout", "expected"),
    [(60.0, 10.0, (71.0, 10.0)), (5.0, 10.0, (8.0, 2.5)), (10.0, 3.0, (14.0, 3.0)), (2.0, 0.5, (2.7, 0.5))],
)
def test_a_lease_is_longer_than_all_that_an_attempt_may_take(
    timeout: float, connect_timeout: float, expected: tuple[float, float]
) -> None:
    """By a tenth of its time-out, and by a second at the most."""
    assert lease_of(timeout, connect_timeout) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("http://x", "limits begins with 'http', which is no scheme"),
        ("ht-tp://x", "limits begins with that, which is no scheme"),
        ("~nobody-of-this-name/limits", "limits begins with the home of a user that this host does not know"),
        (7, "limits must be"),
    ],
)
def test_what_is_no_place_is_refused(where: object, said: str) -> None:
    """It says why, and shows nothing that may be a secret."""
    with pytest.raises(ConfigurationError, match=said):
        check_where(where, "limits")


@pytest.mark.parametrize(
    ("where", "module", "extra"),
    [("redis://x", "redis", "redis"), ("unix:///x", "redis", "redis"), ("postgres://x", "psycopg", "postgres")],
)
def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, where: str, module: str, extra: str) -> None:
    """With the command that installs it."""
    check_where(where)
    asked: list[str] = []
    monkeypatch.setattr(importlib.util, "find_spec", asked.append)
    with pytest.raises(ConfigurationError, match=rf"needs an extra: pip install 'omeda-async\[{extra}\]'"):
        check_where(where)
    assert asked == [module]


def test_nowhere_and_a_path_are_places(tmp_path: Path) -> None:
    """Nothing is made there yet."""
    for where in (None, tmp_path / "new", str(tmp_path / "new.db"), "~/limits"):
        check_where(where)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_will_do_is_left_alone(tmp_path: Path) -> None:
    """A folder, one that is to be made, a file of SQLite's, an empty one; a URL is asked nothing."""
    (tmp_path / "empty").touch()
    connection = sqlite3.connect(tmp_path / "there.db")
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    for where in (tmp_path, tmp_path / "new" / "deep", tmp_path / "empty", tmp_path / "there.db", "redis://x"):
        check_place(where, "limits")
    assert {one.name for one in tmp_path.iterdir()} == {"empty", "there.db"}


def test_a_file_of_something_else_is_no_place(tmp_path: Path) -> None:
    """Nor what would be below a file, though that is SQLite's."""
    text, database = tmp_path / "text", tmp_path / "there.db"
    text.write_text("SQLite format 4, or so it says")
    database.touch()
    for place, there in ((text, text), (text / "below", text), (database / "below", database)):
        with pytest.raises(ConfigurationError, match=f"limits {place}: {there} is a file of something else"):
            check_place(place, "limits")


def test_a_folder_that_may_not_be_written_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest that is there is meant."""
    monkeypatch.setattr(os, "access", lambda place, _: place != tmp_path)
    with pytest.raises(ConfigurationError, match=f"{tmp_path} is not this user's to write to"):
        check_place(tmp_path / "new" / "deep", "limits")


def test_a_place_that_cannot_be_looked_at_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says why."""
    place = tmp_path / "there.db"
    place.touch()

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(ConfigurationError, match=f"limits {place} cannot be used: Permission denied"):
        check_place(place, "limits")


def test_an_account_has_a_file_of_its_own_in_a_folder(tmp_path: Path) -> None:
    """A path that ends as a file of SQLite's does is one, unless it is a folder; so is any file that is there."""
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "file").touch()
    files = {
        "new": f"new/{NAME}.sqlite3",
        "folder.db": f"folder.db/{NAME}.sqlite3",
        "new.db": "new.db",
        "new.sqlite": "new.sqlite",
        "new.sqlite3": "new.sqlite3",
        "new.txt": f"new.txt/{NAME}.sqlite3",
        "file": "file",
    }
    names = {where: open_store(tmp_path / where, ACCOUNT, middle).name for where in files}
    assert names == {where: f"the file {tmp_path / file}" for where, file in files.items()}
